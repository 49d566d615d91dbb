"""Searches: Optuna draws a sweep's trials one after another, and gives up what falls behind.

The sweep's folder stays the one truth. Optuna's study lives in memory and is made again from the
folder by whoever goes on, through the same calls: settings from ``sweep.json``, what became of them
from the ledger, losses by epoch from the run folders. Of Optuna's own storages only databases watch
over workers, and a trial that died begins anew there; the journal file neither mends a line that a
kill tore nor has checksums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnnw._common.checks import integer
from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.sweep.ledger import SweepFolder, Trial, TrialState
from qnnw.sweep.tables import HELD_OUT
from qnnw.training.config import TrainConfig
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.record import PLACE, RecordError, RunFolder, decisive
from qnnw.training.settings import settings_of

with needs("search", "qnnw search"):
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import RandomSampler, TPESampler

__all__ = ["Search", "begin_search"]

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
    _distributions(space)
    for name in space:
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


def _distributions(space: dict[str, Any]) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    for name, values in space.items():
        if isinstance(values, list):
            found[name] = CategoricalDistribution(values)
            continue
        kind = IntDistribution if isinstance(values["low"], int) else FloatDistribution
        try:
            found[name] = kind(**values)
        except ValueError as error:
            raise ValueError(f"`space` has {values} for {name!r}: {error}") from error
    return found


class Search:
    """Optuna's side of a sweep: asks for trials, hears their losses.

    Where one trial runs at a time, a search that was cut off and goes on tries what it would have
    tried; side by side, what has ended when the next is drawn is a matter of time.

    Parameters
    ----------
    folder
        The sweep, which says in ``about`` what :func:`begin_search` was given.
    states
        What has become of the trials that are there.
    """

    def __init__(self, folder: SweepFolder, states: dict[str, TrialState]) -> None:
        self._folder, self._about = folder, folder.about
        self._base = TrainConfig.from_dict(self._about["base"])
        self._space = _distributions(self._about["space"])
        warmup = int(WARMUP * self._base.optimizer.rounds)
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells that there is a study
        median = optuna.pruners.MedianPruner(FIRST_TRIALS, warmup)
        # Until it is asked for a new trial its draws give way to the trials' own values.
        self._study = optuna.create_study(sampler=RandomSampler(), pruner=median)
        self._asked: dict[str, optuna.Trial] = {}
        for trial in folder.trials:
            self._study.enqueue_trial(trial.axes)
            asked = self._asked[trial.name] = self._study.ask(self._space)
            state = states[trial.name]
            if state.status != "waiting":
                last = state.rounds if state.status == "pruned" else trial.rounds
                for number, loss in self._losses(trial)[:last]:
                    asked.report(loss, number)
                self.tell(trial, state)

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
        refused: Exception | None = None
        for draw in range(MOST_DRAWS):
            seed = derived_seed(self._base.seed, place * MOST_DRAWS + draw) % 2**32
            self._study.sampler = TPESampler(seed=seed)
            asked = self._study.ask(self._space)
            axes = {name: asked.params[name] for name in self._space}
            try:
                config = self._config(axes)
            except (TypeError, ValueError) as error:
                self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
                refused = error
                continue
            trial = Trial(f"trial{place}", axes, config.to_dict())
            self._folder.rewrite([*self._folder.trials, trial], self._about)
            self._asked[trial.name] = asked
            return trial
        raise ValueError(f"`space` has no settings that a run can have: {refused}") from refused

    def follow(self, trial: Trial) -> dict[str, Any] | None:
        """Hear of a trial's new rounds: at which, and at which loss, it is given up, if it is."""
        asked = self._asked[trial.name]
        told = self._study.trials[asked.number].last_step or 0
        for number, loss in self._losses(trial):
            if number <= told:
                continue
            asked.report(loss, number)
            if self._about["prune"] and number < trial.rounds and asked.should_prune():
                return {"rounds": number, "loss": loss}
        return None

    def tell(self, trial: Trial, state: TrialState) -> None:
        """What has become of a trial."""
        asked, loss = self._asked.pop(trial.name), (state.result or {}).get(HELD_OUT)
        if state.status == "pruned":
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        elif loss is not None:
            self._study.tell(asked, loss)
        else:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)

    def _config(self, axes: dict[str, Any]) -> TrainConfig:
        """The base with a draw's settings; another optimiser takes over what it has too."""
        shared: dict[str, Any] = {}
        if "optimizer" in axes:
            own = settings_of(OPTIMIZERS[axes["optimizer"]])
            before = self._base.optimizer.settings
            shared = {name: value for name, value in before.items() if name in own}
        return self._base.changed(**{**shared, **axes})

    def _losses(self, trial: Trial) -> list[tuple[int, float]]:
        """Finished rounds, counted from 1, and their losses on held-out samples."""
        try:
            history = RunFolder(self._folder.trial_path(trial)).read_history()
        except RecordError:  # not begun, or damaged: the trial itself will say so
            return []
        losses = [(number, line.get(HELD_OUT)) for number, line in enumerate(history, 1)]
        return [(number, loss) for number, loss in losses if loss is not None]
