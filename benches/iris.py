"""Iris over many seeds: the paper's training beside an ordinary one of the same network.

    python -m pip install '.[train]'
    python benches/iris.py --seeds 0 20 --reps 1 6 --processes 2

"ordinary": the same 131 weights trained directly, Adam, learning rate 0.01, 300 full-batch epochs
of cross-entropy, torch's default initialisation seeded by the split's seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile

import numpy as np
import torch
from torch.nn import functional

import qnnw
from qnnw.data import networks
from qnnw.data.registry import load
from qnnw.paper import PRESETS
from qnnw.training.runs import start


def as_in_the_paper(job: tuple[int, int, dict[str, object]]) -> tuple[float, float, float]:
    """Loss, training and test accuracy of one run of the preset, some settings changed."""
    reps, seed, changed = job
    qnnw.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out:
        config = PRESETS["iris"].changed(reps=reps, seed=seed, threads=1, **changed)
        result = start(config, out)
    return result["loss"], result["train_accuracy"], result["test_accuracy"]


def ordinary(seed: int) -> tuple[float, float, float]:
    """The same three of a network trained directly."""
    torch.set_num_threads(1)
    data = load("iris", seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = networks.iris()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        functional.cross_entropy(network(data.train_inputs), data.train_labels).backward()
        optimizer.step()
    with torch.inference_mode():
        logits = network(data.train_inputs)
        cross_entropy = functional.cross_entropy(logits, data.train_labels).item()
        train_accuracy = (logits.argmax(1) == data.train_labels).double().mean().item()
        predicted = network(data.test_inputs).argmax(1)
        test_accuracy = (predicted == data.test_labels).double().mean().item()
    return cross_entropy + 1 - train_accuracy, train_accuracy, test_accuracy


def row(name: str, results: list[tuple[float, float, float]]) -> str:
    """One line of the table: means and standard deviations."""
    loss, train_accuracy, test_accuracy = np.array(results).T
    percent = [
        f"{100 * v.mean():.1f} ± {100 * v.std(ddof=1):.1f}" for v in (train_accuracy, test_accuracy)
    ]
    worst = f"{100 * test_accuracy.min():.0f}"
    return (
        f"| {name} | {loss.mean():.3f} ± {loss.std(ddof=1):.3f} | "
        + " | ".join([*percent, worst])
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 20], metavar=("FIRST", "END"))
    parser.add_argument("--reps", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--no-rotate", action="store_true", help="COBYLA unturned")
    parser.add_argument("--rhobeg", type=float, help="COBYLA's first step")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    seeds = range(*options.seeds)
    changed: dict[str, object] = {"rotate": False} if options.no_rotate else {}
    if options.rhobeg is not None:
        changed["rhobeg"] = options.rhobeg
    print(f"seeds {seeds[0]} to {seeds[-1]}, mean ± sd, accuracy in %")
    print()
    print("| training | loss | train | test | worst test |")
    print("|---|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for reps in options.reps:
            results = pool.map(
                as_in_the_paper, [(reps, seed, changed) for seed in seeds], chunksize=1
            )
            print(row(f"{reps} reps, {16 * (reps + 1)} angles", results), flush=True)
        print(row("ordinary, 131 weights", pool.map(ordinary, seeds)))


if __name__ == "__main__":
    main()
