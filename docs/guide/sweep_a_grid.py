"""A grid of runs on all cores: what came out, by place and seed."""

from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import grouped


def main() -> None:
    """Run the grid; called again, go on where it was cut off."""
    trials = trials_of("iris", parse_grid("reps=1,2 shots=none,2560 seeds=0..1 epochs=20"))
    folder = SweepFolder.create("iris-sweep", trials, {"dataset": "iris"})
    engine = LocalEngine(capacity=2, threads=1, log=folder.path / "workers.log")
    states = run_sweep(folder, engine)

    for group in grouped(folder, states):
        accuracy = group.mean("test_accuracy")
        print(group.place, f"{accuracy:.3f} ± {group.deviation('test_accuracy'):.3f}")


if __name__ == "__main__":
    main()
