"""COBYLA's own time per evaluation, SciPy's and ours, and what both reach on Iris.

    python -m pip install '.[train]'
    python benches/cobyla.py                       # times: a minute
    python benches/cobyla.py --iris --seeds 0 20   # and final losses: some two minutes more

Times: the median over evaluations past the first simplex, on a bowl that costs nothing, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from importlib import metadata

import qnnw
from qnnw.optim import Cobyla, FastCobyla
from qnnw.paper import PRESETS
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.runs import start

SIZES = (32, 112, 364, 728)


def times() -> None:
    """Print milliseconds of an evaluation."""
    print(f"SciPy {metadata.version('scipy')}")
    print("| angles | SciPy's COBYLA, ms | cobyla-fast, ms | ratio |\n|---|---|---|---|")
    for size in SIZES:
        theirs, ours = Cobyla().overhead(size), FastCobyla().overhead(size)
        print(f"| {size} | {1e3 * theirs:.2f} | {1e3 * ours:.3f} | {theirs / ours:.0f} |")


def iris(seeds: range) -> None:
    """Print what both reach within the paper's budget."""
    print("| optimiser | loss | train % | test % | seconds a run |\n|---|---|---|---|---|")
    paper = PRESETS["iris"]
    for optimizer in ("cobyla", "cobyla-fast"):
        kind = OPTIMIZERS[optimizer]
        results = []
        for seed in seeds:
            config = paper.changed(optimizer=kind(**paper.optimizer.settings), seed=seed, threads=1)
            with tempfile.TemporaryDirectory() as out:
                results.append(start(config, out))
        cells = []
        for name, times, digits in (
            ("loss", 1, 3), ("train_accuracy", 100, 1), ("test_accuracy", 100, 1),
        ):  # fmt: skip
            values = [times * result[name] for result in results]
            mean, deviation = statistics.mean(values), statistics.stdev(values)
            cells.append(f"{mean:.{digits}f} ± {deviation:.{digits}f}")
        seconds = statistics.mean(result["seconds"] for result in results)
        print(f"| {optimizer} | {' | '.join(cells)} | {seconds:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iris", action="store_true")
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 20], metavar=("FROM", "TO"))
    given = parser.parse_args()
    qnnw.set_num_threads(1)
    times()
    if given.iris:
        iris(range(*given.seeds))


if __name__ == "__main__":
    main()
