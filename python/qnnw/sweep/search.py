"""Searches: Optuna draws a sweep's trials one after another, and gives up what falls behind.

The sweep's folder stays the one truth. Optuna's study lives in memory and is made anew from the
folder whenever it is asked: settings from ``sweep.json``, what became of them from the ledger,
losses by epoch from the run folders. Of Optuna's own storages only databases watch over workers,
and a trial that died begins anew there; the journal file neither mends a line that a kill tore nor
has checksums.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from qnnw._common.checks import integer
from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.sweep.ledger import SweepFolder, Trial, TrialState
from qnnw.sweep.tables import HELD_OUT
from qnnw.training.config import TrainConfig
from qnnw.training.record import PLACE, RecordError, RunFolder, decisive

with needs("search", "qnnw search"):
    import optuna
    from optuna import distributions

# So often a draw that is no run is drawn anew.
MOST_DRAWS = 1000
# Finished trials before one is given up, and the share of the rounds that none is judged by.
FIRST_TRIALS = 5
WARMUP = 0.25


def begin_search(
    path: Path, base: TrainConfig, space: dict[str, Any], trials: int = 50, *, prune: bool = True
) -> SweepFolder:
    """The search in this folder: a new one, or the one that is there, for as many trials.

    Parameters
    ----------
    path
        The folder.
    base
        The settings of every trial but for those of the space; some samples are held out.
    space
        By setting its values, as a list, or its range: ``low`` and ``high``, of whole numbers
        perhaps a ``step``, of others perhaps ``log``.
    trials
        How many in all.
    prune
        Give up a trial whose best loss on the held-out samples is above the median of those that
        ended, at the same round; in the first quarter of the rounds none.

    Raises
    ------
    ValueError
        A range or the number of trials is none, a setting of the space decides no number, or
        nothing is held out.
    qnnw.training.record.RecordError
        The folder has another search, or a grid.
    qnnw.training.record.InUseError
        Another process works on the search, which is for another number of trials.
    """
    integer("trials", trials, 1)
    if not space:
        raise ValueError("`space` is empty; it must have a setting to search")
    for name, values in space.items():
        _distribution(name, values)
        if name in (*PLACE, "validation_samples"):
            raise ValueError(f"`space` has {name!r}, which makes no run better; leave it out")
    if base.validation_samples is None:
        raise ValueError(
            "`validation_samples` is none; a search measures on samples held out of the training "
            "set, and never on the test set: give it in [fixed] or as an option"
        )
    about: dict[str, Any] = {"dataset": base.dataset, "space": space, "base": base.to_dict()}
    about |= {"trials": trials, "prune": prune}
    if not (path / "sweep.json").is_file():
        return SweepFolder.create(path, [], about)
    there = SweepFolder(path)
    if _decisive(there.about) != _decisive(about):
        names = [name for name in about if there.about.get(name) != about[name]]
        raise RecordError(
            f"{str(path)!r} has another sweep ({', '.join(names)}); take another folder, or leave "
            "the space out to go on"
        )
    if there.about["trials"] != trials:
        with there.locked():
            there = SweepFolder(path)  # as it is now that nobody else asks for trials
            there.rewrite(there.trials, {**there.about, "trials": trials})
    return there


def _decisive(about: dict[str, Any]) -> dict[str, Any]:
    return {**about, "trials": 0, "base": decisive(about.get("base", {}))}


def _distribution(name: str, values: Any) -> distributions.BaseDistribution:
    try:
        if isinstance(values, list):
            return distributions.CategoricalDistribution(values)
        whole = all(isinstance(value, int) for value in values.values())
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a range that its steps do not fill
            if whole:
                return distributions.IntDistribution(**values)
            return distributions.FloatDistribution(**values)
    except (AttributeError, TypeError, ValueError, UserWarning) as error:
        raise ValueError(f"`space` has {values} for {name!r}: {error}") from error


class Search:
    """Optuna's side of a sweep: says what is tried next, and which trial is given up.

    Where one trial runs at a time, a search that was cut off and goes on tries what it would have
    tried; side by side, what has ended when the next is drawn is a matter of time.

    Parameters
    ----------
    folder
        The sweep, which says in ``about`` what :func:`begin_search` was given.
    states
        What has become of its trials, as the coordinator keeps it.
    """

    def __init__(self, folder: SweepFolder, states: dict[str, TrialState]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study
        self._folder, self._states, self._about = folder, states, folder.about
        self._base = TrainConfig.from_dict(self._about["base"])
        space = self._about["space"].items()
        self._space = {name: _distribution(name, values) for name, values in space}
        warmup = int(WARMUP * self._base.optimizer.rounds)
        self._pruner = optuna.pruners.MedianPruner(FIRST_TRIALS, warmup)
        # Losses by round: of a trial that has ended they are read once.
        self._losses: dict[str, dict[int, float]] = {}

    def ask(self) -> Trial | None:
        """The next trial, in ``sweep.json`` when this returns; ``None``: there are enough.

        Raises
        ------
        ValueError
            The space has no settings that a run can have.
        """
        place = len(self._folder.trials)
        if place >= self._folder.planned:
            return None
        study, refused = self._study(), ""
        for draw in range(MOST_DRAWS):
            seed = derived_seed(self._base.seed, place * MOST_DRAWS + draw) % 2**32
            study.sampler = optuna.samplers.TPESampler(seed=seed)
            asked = study.ask(self._space)
            axes = {name: asked.params[name] for name in self._space}
            try:
                # Another optimiser takes over what it has too.
                base = self._base.by(axes["optimizer"]) if "optimizer" in axes else self._base
                trial = Trial(f"trial{place}", axes, base.changed(**axes).to_dict())
            except (TypeError, ValueError) as error:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
                refused = str(error)
                continue
            self._folder.rewrite([*self._folder.trials, trial], self._about)
            return trial
        raise ValueError(f"`space` has no settings that a run can have: {refused}")

    def given_up(self, trial: Trial) -> dict[str, Any] | None:
        """At which of a trial's new rounds, and at which loss, it is given up, if it is."""
        if not self._about["prune"]:
            return None
        before, now = self._losses.get(trial.name, {}), self._read(trial)
        self._losses[trial.name] = now
        study = self._study()
        for number in sorted(now.keys() - before.keys()):
            so_far = {n: loss for n, loss in now.items() if n <= number}
            if number < trial.rounds and self._pruner.prune(study, self._frozen(trial, so_far)):
                return {"rounds": number, "loss": now[number]}
        return None

    def _study(self) -> optuna.Study:
        study = optuna.create_study(pruner=self._pruner)
        for trial in self._folder.trials:
            losses = self._losses.get(trial.name)
            if losses is None:
                losses = self._read(trial)
                # Of one that still runs all rounds are to be judged.
                if self._states[trial.name].status != "waiting":
                    self._losses[trial.name] = losses
            study.add_trial(self._frozen(trial, losses))
        return study

    def _frozen(self, trial: Trial, losses: dict[int, float]) -> optuna.trial.FrozenTrial:
        """A trial as Optuna knows it."""
        state, kinds = self._states[trial.name], optuna.trial.TrialState
        known = {"waiting": kinds.RUNNING, "pruned": kinds.PRUNED}
        loss = (state.result or {}).get(HELD_OUT)
        if state.status == "pruned":
            losses = {number: loss for number, loss in losses.items() if number <= state.rounds}
        return optuna.trial.create_trial(
            state=known.get(state.status, kinds.FAIL if loss is None else kinds.COMPLETE),
            value=loss,
            params=trial.axes,
            distributions=self._space,
            intermediate_values=losses,
        )

    def _read(self, trial: Trial) -> dict[int, float]:
        """The losses on held-out samples after a trial's rounds, counted from 1."""
        try:
            history = RunFolder(self._folder.trial_path(trial)).read_history()
        except RecordError:  # not begun, or damaged: the trial itself will say so
            return {}
        losses = {number: line.get(HELD_OUT) for number, line in enumerate(history, 1)}
        return {number: loss for number, loss in losses.items() if loss is not None}
