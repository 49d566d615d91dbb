"""The controls beside the circuit: which runs they are, and the table that compares them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnnw._common.words import markdown
from qnnw.paper.figures import budgeted, seed_count
from qnnw.paper.presets import compared
from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.sweep.tables import grouped, heads_of, measured, task_among
from qnnw.training.config import TrainConfig
from qnnw.training.legacy import num_trained, upgraded_checkpoint
from qnnw.training.optimizers import EigenAdam
from qnnw.training.record import RunFolder
from qnnw.weights.derivatives import push_weights
from qnnw.weights.mapping import WeightMap

#: The compared sources of weights: the settings that make each, and its name in words.
CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "circuit": ("the circuit", {}),
    "product": ("a product state: no CNOTs", {"entanglement": "none"}),
    "subspace": ("a random subspace", {"source": "subspace"}),
    "frozen": ("the circuit, frozen; gamma alone", {"source": "frozen"}),
    "haar": ("a Haar-random state; gamma alone", {"source": "haar"}),
    "direct": ("the network's own weights", {"source": "direct"}),
}
REPS = (13, 26)
# They do not depend on the number of layers.
_ONCE = ("haar", "direct")
SEEDS = 3


def control_trials(
    budget: str = "full",
    seeds: int | None = None,
    optimizer: str = "eigen-adam",
    **place: Any,
) -> list[Trial]:
    """The runs: every control on the paper's MNIST network, at 364 and 702 parameters.

    Parameters
    ----------
    budget, seeds, optimizer, place
        As for :func:`qnnw.paper.figures.figure_trials`.

    Raises
    ------
    ValueError
        An argument is out of range.
    """
    count = seed_count(seeds, SEEDS)
    base = budgeted(compared("mnist", optimizer).changed(**place), budget)
    trials = []
    for control, (_, settings) in CONTROLS.items():
        for reps in REPS[-1:] if control in _ONCE else REPS:
            for seed in range(count):
                config = _suited(base.changed(**settings, reps=reps, seed=seed))
                axes = {"control": control, "reps": reps, "seed": seed}
                name = f"{control}-reps{reps}-seed{seed}"
                trials.append(Trial(name, axes, config.to_dict()))
    return trials


# Best of 0.03, 0.1 and 0.2 by accuracy on 10,000 held-out images (docs/results.md).
SUBSPACE_LR = {13: 0.03, 26: 0.2}


def _suited(config: TrainConfig) -> TrainConfig:
    """The control's own best way by gradients; all others are the circuit's."""
    if not isinstance(config.optimizer, EigenAdam):
        return config
    if config.source == "subspace":
        return config.changed(lr=SUBSPACE_LR[config.reps])
    if config.source == "direct":  # so many numbers have no eigenbasis that could be held
        return config.by("adam")
    return config


def about_controls(budget: str, optimizer: str) -> dict[str, Any]:
    """What a picture says of them."""
    whole = compared("mnist", optimizer)
    full = whole.to_dict()
    few = budgeted(whole, budget).to_dict()
    parts = [f"{name} {value}" for name, value in few.items() if full[name] != value]
    return {
        "figure": "controls",
        "dataset": "mnist",
        "budget": budget,
        "optimizer": optimizer,
        "names": {control: name for control, (name, _) in CONTROLS.items()},
        "left_out": ", ".join(parts),
    }


def write_control_table(folder: SweepFolder) -> str:
    """Write ``controls.md``: accuracies, directions, and how the probabilities are spread.

    ``directions`` is the rank of the Jacobian of the weights by what is trained, where training
    begins. ``spread`` is 2^N sum_i p_i^2 of the trained state: 1 if all are equal, 2 (less
    2 / (2^N + 1)) for a Haar-random state.
    """
    states = folder.states()
    groups = grouped(folder, states)
    heads = ["weights from", "trained", "directions", "spread", "runs"]
    heads += heads_of(task_among(groups))
    rows = []
    for group in groups:
        trial = next(
            trial
            for trial in folder.trials
            if all(trial.axes[name] == value for name, value in group.place.items())
        )
        if not group.results:
            continue
        config, result = TrainConfig.from_dict(trial.config), group.results[0]
        directions = trained = num_trained(result)
        if config.source == "circuit":
            directions = num_directions(config, int(result["num_weights"]))
        name, _ = CONTROLS[str(group.place["control"])]
        spread = _spread(folder, trial, config, int(result["num_qubits"]))
        row = [name, str(trained), str(directions), spread, str(len(group.results))]
        rows.append([*row, *measured(group, task_among([group]))])
    text = markdown(heads, rows)
    folder.write("controls.md", text.encode())
    return text


def _spread(folder: SweepFolder, trial: Trial, config: TrainConfig, num_qubits: int) -> str:
    if config.source != "circuit":
        return ""
    checkpoint = RunFolder(folder.trial_path(trial)).read_checkpoint()
    if checkpoint is None:
        return ""
    ansatz = config.ansatz(num_qubits)
    groups = {"angles": ansatz.num_parameters, "gamma": 1}
    arrays, _ = upgraded_checkpoint(checkpoint[0], checkpoint[1], groups)
    probabilities = np.asarray(ansatz.probabilities(arrays["best.angles"]))
    return f"{2**num_qubits * float(np.square(probabilities).sum()):.2f}"


def num_directions(config: TrainConfig, num_weights: int) -> int:
    """Rank of the Jacobian of the weights by angles and gamma, at the run's first point.

    Scales of whole tensors leave it as it is and are left out.
    """
    weight_map = WeightMap(num_weights, config.seed, config.signs, config.mapping)
    ansatz = config.ansatz(weight_map.num_qubits)
    chain = (ansatz, weight_map, ansatz.random_angles(config.seed), config.gamma)
    still = np.zeros(ansatz.num_parameters)
    columns = [push_weights(*chain, along, 0.0) for along in np.eye(len(still))]
    columns.append(push_weights(*chain, still, 1.0))
    return int(np.linalg.matrix_rank(np.column_stack(columns)))
