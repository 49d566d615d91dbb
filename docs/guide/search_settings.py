"""A search on Iris: circuits and learning rates by the loss on flowers that are held out."""

from pathlib import Path

from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.search import begin_search
from qnnw.sweep.tables import best_of
from qnnw.training.presets import preset


def main() -> None:
    """Run the search; called again, go on where it was cut off."""
    space = {
        "reps": {"low": 1, "high": 4},
        "lr": {"low": 0.005, "high": 0.5, "log": True},
        "entanglement": ["linear", "circular", "none"],
    }
    base = preset("iris", epochs=12, validation_samples=20)
    folder = begin_search(Path("iris-search"), base, space, trials=8)
    engine = LocalEngine(capacity=2, threads=1, log=folder.path / "workers.log")
    states = run_sweep(folder, engine)

    best = best_of(folder, states)
    print(len(states), "tried, the best:", best.axes)


if __name__ == "__main__":
    main()
