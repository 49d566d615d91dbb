"""Accuracy beside controls with as many trainable parameters, on the same network and data.

    python benches/records.py mnist --kind circuit --reps 4 13 26 --seeds 0 3
    python benches/records.py mnist --kind subspace --reps 4 13 26 --seeds 0 3 --lr 0.1
    python benches/records.py mnist --kind circuit --validation 10000 --mapping paper --lr 0.01
    python benches/records.py --table records.jsonl

Kinds:

- circuit: `qnnw train`'s own run, with the preset's settings or those given here.
- subspace: w = w0 + P z, z trained from 0, P fixed with independent normal entries and columns of
  length 1, w0 torch's usual initialisation (Li et al. 2018, the intrinsic dimension); as many z as
  the circuit of `--reps` has angles.
- gamma: the circuit's angles stay as drawn; gamma alone is trained.
- direct: every weight is trained, from torch's usual initialisation.

All take batches, epochs and one-cycle schedule of the preset, Adam, and the same order of samples
for a seed. Each run is one line of JSON, appended to `--out`; a run that is there already is not
run again. Runs are single-threaded, `--processes` side by side; results do not depend on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import qnnw
from qnnw import networks
from qnnw._allocator import keep_freed_memory
from qnnw._seeds import derived_seed
from qnnw.backward import BatchGradient
from qnnw.config import NETWORKS, TrainConfig
from qnnw.datasets import load
from qnnw.epochs import ORDERS, EpochTrainer
from qnnw.evaluation import Evaluator
from qnnw.optim import EigenAdam
from qnnw.presets import preset
from qnnw.runs import train
from qnnw.schedules import one_cycle
from qnnw.targets import find_targets

KINDS = ("circuit", "subspace", "gamma", "direct")
OPTIONS = {"mapping": str, "signs": str, "scale": str, "gamma": float, "lr": float}
OPTIONS |= {
    "preconditioning": str,
    "epochs": int,
    "batch_size": int,
    "entanglement": str,
    "warmup": float,
}


def usual_weights(network: torch.nn.Module, rng: np.random.Generator) -> np.ndarray:
    """Initialise as torch does linear and convolution layers: uniform, bound 1 / sqrt(fan_in)."""
    parts = []
    for target in find_targets(network, None):
        bound = 1 / math.sqrt(target.fan_in)
        parts.append(rng.uniform(-bound, bound, target.numel))
    return np.concatenate(parts)


def control(config: TrainConfig, kind: str) -> dict[str, Any]:
    """Train w = w0 + P z, or w itself."""
    start = time.perf_counter()
    data = load(
        config.dataset, seed=config.seed, data_dir=config.data_dir,
        validation_samples=config.validation_samples,
    )  # fmt: skip
    network = NETWORKS[config.dataset](config.activation)
    rng = np.random.default_rng(derived_seed(config.seed, 1 << 42))
    origin = usual_weights(network, rng)
    num_weights = networks.num_weights(network)
    if kind == "direct":
        basis, size = None, num_weights
        point = torch.from_numpy(origin.copy())
    else:
        qubits = max(1, math.ceil(math.log2(num_weights)))
        size = qnnw.EfficientSU2(qubits, config.reps).num_parameters
        columns = rng.normal(size=(num_weights, size))
        # In torch, whose products keep to one thread here as NumPy's would not.
        basis = torch.from_numpy(columns / np.linalg.norm(columns, axis=0))
        point = torch.zeros(size, dtype=torch.float64)
    gradient = BatchGradient(network, loss=config.loss)
    evaluate = lambda inputs, labels: Evaluator(network, inputs, labels, loss=config.loss)  # noqa: E731
    train_set = evaluate(data.train_inputs, data.train_labels)
    test_set = evaluate(data.test_inputs, data.test_labels)
    if config.lr is None:
        raise SystemExit(f"--kind {kind} needs --lr")
    full = config.preconditioning == "full" and kind != "direct"
    optimizer = (EigenAdam if full else torch.optim.Adam)([point], lr=config.lr)
    inputs, labels = data.train_inputs, data.train_labels
    if inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    steps = config.epochs * -(-len(labels) // config.batch_size)
    done, best = 0, (math.inf, 0.0, 0.0)
    for epoch in range(1, config.epochs + 1):
        order_rng = np.random.default_rng(derived_seed(config.seed, ORDERS + epoch))
        order = torch.from_numpy(order_rng.permutation(len(labels)))
        for batch in order.split(config.batch_size):
            weights = point.numpy() if basis is None else origin + (basis @ point).numpy()
            _, by_weights = gradient(weights, inputs[batch], labels[batch])
            gradient_here = torch.from_numpy(by_weights)
            point.grad = gradient_here if basis is None else basis.T @ gradient_here
            optimizer.param_groups[0]["lr"] = config.lr * one_cycle(done / steps, config.warmup)
            optimizer.step()
            done += 1
        weights = point.numpy() if basis is None else origin + (basis @ point).numpy()
        on_train, on_test = train_set(weights), test_set(weights)
        best = min(best, (on_train.loss, on_train.accuracy, on_test.accuracy))
    return {
        "parameters": size,
        "loss": best[0],
        "train_accuracy": best[1],
        "test_accuracy": best[2],
        "seconds": time.perf_counter() - start,
        "peak_lr": config.lr,
    }


class FrozenAngles(EpochTrainer):
    """The same training, but only gamma moves."""

    def _trained(self) -> list[torch.Tensor]:
        return [self._gamma]


def gamma_alone(config: TrainConfig) -> dict[str, Any]:
    """Train gamma with the angles as they were drawn."""
    from qnnw.training import Reporter

    start = time.perf_counter()
    trainer = FrozenAngles(config)
    for _ in range(config.epochs):
        trainer.history.append(trainer.run_round(Reporter()))
    on_train, on_test = trainer.measure()
    trainer.close()
    return {
        "parameters": 1,
        "loss": trainer.best.loss,
        "train_accuracy": on_train.accuracy,
        "test_accuracy": on_test.accuracy,
        "seconds": time.perf_counter() - start,
        "peak_lr": trainer.peak_lr,
    }


def one_run(config: TrainConfig, kind: str) -> dict[str, Any]:
    """One line of the record."""
    torch.set_num_threads(1)
    qnnw.set_num_threads(1)
    keep_freed_memory()
    if kind == "circuit":
        with TemporaryDirectory() as out:
            result = train(config, out)
        found = {name: result[name] for name in ("loss", "train_accuracy", "test_accuracy")}
        found |= {"parameters": result["num_angles"] + 1, "seconds": result["seconds"]}
        found |= {"final_gamma": result["gamma"], "peak_lr": result["lr"]}
    elif kind == "gamma":
        found = gamma_alone(config)
    else:
        found = control(config, kind)
    return {**identity(config, kind), **found}


def identity(config: TrainConfig, kind: str) -> dict[str, Any]:
    """What tells a run from others."""
    names = ("dataset", "reps", "seed", "epochs", "batch_size", "lr", "warmup", "preconditioning")
    chosen = {name: getattr(config, name) for name in names}
    chosen["validation_samples"] = config.validation_samples
    if kind in ("circuit", "gamma"):
        circuit = ("mapping", "signs", "scale", "gamma", "entanglement")
        chosen |= {name: getattr(config, name) for name in circuit}
    return {"kind": kind, **chosen}


def print_table(path: Path) -> None:
    """Mean and standard deviation over seeds, a line for each setting."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text().splitlines():
        run = json.loads(line)
        hidden = ("seed", "loss", "train_accuracy", "test_accuracy", "seconds", "parameters")
        key = json.dumps({k: v for k, v in run.items() if k not in (*hidden, "final_gamma", "lr")})
        groups.setdefault(key, []).append(run)
    print("| run | parameters | seeds | train % | test % | seconds a run |")
    print("|---|---|---|---|---|---|")
    for key, runs in groups.items():
        percent = {}
        for name in ("train_accuracy", "test_accuracy"):
            values = [100 * run[name] for run in runs]
            deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            percent[name] = f"{statistics.mean(values):.2f}{deviation}"
        seconds = statistics.mean(run["seconds"] for run in runs)
        setting = ", ".join(f"{k} {v}" for k, v in json.loads(key).items() if v is not None)
        print(
            f"| {setting} | {runs[0]['parameters']} | {sorted(run['seed'] for run in runs)} | "
            f"{percent['train_accuracy']} | {percent['test_accuracy']} | {seconds:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=sorted(NETWORKS))
    parser.add_argument("--kind", choices=KINDS, default="circuit")
    parser.add_argument("--reps", type=int, nargs="+", default=[26])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 5], metavar=("FROM", "TO"))
    parser.add_argument("--validation", type=int, help="hold out this many training samples")
    parser.add_argument("--data-dir")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("records.jsonl"))
    parser.add_argument("--table", type=Path, help="only print this file's table")
    for name, kind in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    given = parser.parse_args()
    if given.table is not None:
        return print_table(given.table)
    changed = {name: getattr(given, name) for name in OPTIONS if getattr(given, name) is not None}
    base = dataclasses.replace(
        preset(given.dataset, "adam"), threads=1, data_dir=given.data_dir,
        validation_samples=given.validation, **changed,
    )  # fmt: skip
    configs = [
        dataclasses.replace(base, reps=reps, seed=seed)
        for reps in given.reps
        for seed in range(*given.seeds)
    ]
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    there = [json.loads(line) for line in lines]
    wanted = [
        config
        for config in configs
        if not any(identity(config, given.kind).items() <= run.items() for run in there)
    ]
    with ProcessPoolExecutor(given.processes) as pool:
        runs = [pool.submit(one_run, config, given.kind) for config in wanted]
        for run in as_completed(runs):
            line = json.dumps(run.result())
            print(line, flush=True)
            with given.out.open("a") as out:
                out.write(line + "\n")
    return None


if __name__ == "__main__":
    main()
