"""A sweep's folder: its trials, and what has become of each. No torch here.

========================  ==========================================================================
``sweep.json``            grid or space, every trial with its whole settings; may gain trials
``ledger.jsonl``          what happened, a line each, appended; the sweep's one source of truth
``trials/NAME/``          the run folder of a trial, see :mod:`qnnw.training.record`
``results.csv``           a line a trial: its place in the grid, and what came out
``table.csv, table.md``   a line for each place in the grid: mean and deviation over the seeds
``sweep.png, .svg``       the picture
========================  ==========================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qnnw._common.documents import Schema, hold, read_document, sealed
from qnnw._common.files import append_line, write_atomically
from qnnw.sweep.events import read_events
from qnnw.training.legacy import upgraded
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.record import RecordError, RunFolder, decisive, locked

# 1: release 0.1, whose trials have its settings, see qnnw.training.legacy, and nothing a checksum.
FORMAT = 2
_NO_NAME = re.compile(r"[/\\\0]")
_SPEC: Schema = {"format": int, "about": dict, "trials": list, "settings?": dict}
_TRIAL: Schema = {"name": str, "axes": dict, "config": dict}


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes
    ----------
    name
        Its folder's name, unique within the sweep.
    axes
        The values of what the grid varies, in the grid's order.
    config
        All its settings, as :meth:`qnnw.training.config.TrainConfig.to_dict` gives them.
    """

    name: str
    axes: dict[str, Any]
    config: dict[str, Any]

    @property
    def rounds(self) -> int:
        """Periods or epochs of the whole run."""
        return int(self.config[f"{OPTIMIZERS[self.config['optimizer']].round_name}s"])

    def same_numbers(self, other: Trial) -> bool:
        """Whether both give the same result."""
        return decisive(self.config) == decisive(other.config)


@dataclass
class TrialState:
    """What has become of a trial.

    Attributes
    ----------
    status
        ``"waiting"``, ``"finished"``, ``"failed"``; or ``"pruned"``: a search has given it up.
    deaths
        Workers that died over it since a round of it was last finished.
    rounds
        Finished rounds when that was last counted.
    result
        What ``result.json`` holds, once it is finished.
    error
        Why it failed.
    """

    status: str = "waiting"
    deaths: int = 0
    rounds: int = 0
    result: dict[str, Any] | None = None
    error: str | None = None


class SweepFolder:
    """The folder of one sweep.

    Parameters
    ----------
    path
        An existing sweep's folder.

    Raises
    ------
    qnnw.training.record.RecordError
        There is no sweep, or it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.spec_path = self.path / "sweep.json"
        self.reload()

    def reload(self) -> None:
        """Read ``sweep.json`` again, to which others may have added until the lock is held."""
        try:
            content = read_document(self.spec_path, {1: _SPEC, FORMAT: _SPEC}, RecordError)
            common = content.get("settings", {})
            self.trials = tuple(_trial(stored, common) for stored in content["trials"])
            if len({trial.name for trial in self.trials}) < len(self.trials):
                raise ValueError("it has two trials of one name")
        except FileNotFoundError:
            raise RecordError(f"{str(self.path)!r} is no sweep: it has no sweep.json") from None
        except ValueError as error:
            raise RecordError(f"{str(self.spec_path)!r} is damaged: {error}") from error
        self.format: int = content["format"]
        self.about: dict[str, Any] = content["about"]

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        trials: list[Trial],
        about: dict[str, Any],
        *,
        extend: bool = False,
    ) -> SweepFolder:
        """The sweep of these trials in this folder: a new one, or the same one that is there.

        Parameters
        ----------
        path
            The folder.
        trials
            All of them.
        about
            What a reader wants to know of the sweep: grid, figure, budget.
        extend
            Add those that the sweep there lacks, and keep those that it has beside them.

        Raises
        ------
        qnnw.training.record.RecordError
            The folder has another sweep; the message says what differs. With ``extend`` that is
            one whose trials of the same names have other settings, or vary others.
        qnnw.training.record.InUseError
            Another process works on the sweep, which lacks some.
        """
        path = Path(path)
        if not (path / "sweep.json").is_file():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RecordError(f"{str(path)!r} cannot be made: {error}") from error
            _write_spec(path / "sweep.json", trials, about)
            return cls(path)
        there = cls(path)
        if not there._lacking(trials, extend):
            return there
        with there.locked():
            there = cls(path)  # as it is now that nobody else can extend it
            there._lacking(trials, extend)
            kept = {trial.name: trial for trial in there.trials}
            wanted = [kept.pop(trial.name, trial) for trial in trials]
            Ledger(there).seal()
            there.rewrite([*wanted, *kept.values()], about)
        return cls(path)

    @property
    def planned(self) -> int:
        """How many trials there will be: a search asks for one after another."""
        return max(len(self.trials), self.about["trials"] if self.is_search else 0)

    @property
    def is_search(self) -> bool:
        """Whether a search asks for its trials, and no grid has them."""
        return "space" in self.about

    def rewrite(self, trials: Sequence[Trial], about: dict[str, Any]) -> None:
        """Write ``sweep.json`` anew; who does holds the folder's lock."""
        self.trials, self.about = tuple(trials), about
        _write_spec(self.spec_path, trials, about)

    def trial_path(self, trial: Trial) -> Path:
        """The trial's run folder.

        Raises
        ------
        qnnw.training.record.RecordError
            A link leads out of the sweep.
        """
        path = self.path / "trials" / trial.name
        for place in (path.parent, path):
            if place.is_symlink() and not place.resolve().is_relative_to(self.path.resolve()):
                raise RecordError(f"{str(place)!r} is a link that leads out of the sweep's folder")
        return path

    def finished_rounds(self, trial: Trial) -> int:
        """Periods or epochs that the trial has behind it."""
        try:
            return RunFolder(self.trial_path(trial)).finished_rounds()
        except RecordError:  # not begun, or damaged: the trial itself will say so
            return 0

    def share_done(self, trial: Trial) -> float:
        """How much of the trial is done, by its finished rounds: from 0 to 1."""
        return min(1.0, self.finished_rounds(trial) / trial.rounds)

    def varied(self) -> list[str]:
        """The settings that the grid varies, in its order."""
        return list(self.trials[0].axes) if self.trials else []

    def states(self) -> dict[str, TrialState]:
        """What has become of every trial, by name."""
        return Ledger(self).states

    def locked(self) -> AbstractContextManager[None]:
        """Keep other coordinators away; raises :class:`qnnw.training.record.InUseError`."""
        return locked(self.path)

    def write(self, name: str, content: bytes) -> Path:
        """Write one of the folder's files."""
        write_atomically(self.path / name, content)
        return self.path / name

    def _lacking(self, trials: list[Trial], extend: bool) -> list[str]:
        """The trials that are not there, which may be ``extend``; no others may differ."""
        if self.is_search:
            raise RecordError(f"{str(self.path)!r} has a search; a grid needs another folder")
        there = {trial.name: trial for trial in self.trials}
        asked = {trial.name: trial for trial in trials}
        new = [name for name in asked if name not in there]
        changed = []
        for name in [name for name in asked if name in there]:
            before, wanted = there[name], asked[name]
            if not before.same_numbers(wanted):
                settings = decisive(wanted.config).items()
                differ = [key for key, value in settings if before.config.get(key, value) != value]
                changed.append(f"{name}: {', '.join(differ) or 'settings'}")
        varied = list(trials[0].axes) if trials else self.varied()
        if not changed and self.trials and varied != self.varied():
            changed = [f"varied are {', '.join(self.varied())}, not {', '.join(varied)}"]
        differences = {"changed": changed}
        remedy = "only trials that are new can be added"
        if not extend:
            gone = [name for name in there if name not in asked]
            differences = {"new": new, "gone": gone, "changed": changed}
            remedy = "take another folder, extend this one, or leave the grid out to go on"
        parts = [
            f"{len(names)} {what} ({names[0]}{', …' if len(names) > 1 else ''})"
            for what, names in differences.items()
            if names
        ]
        if parts:
            raise RecordError(
                f"{str(self.path)!r} has a sweep over another grid: trials {'; '.join(parts)}; "
                f"{remedy}"
            )
        return new


@dataclass
class Ledger:
    """What happened in a sweep, a line an event; the last line may be torn by a kill."""

    folder: SweepFolder
    path: Path = field(init=False)
    states: dict[str, TrialState] = field(init=False)
    length: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.path = self.folder.path / "ledger.jsonl"
        self.states = {trial.name: TrialState() for trial in self.folder.trials}
        new = self.folder.format > 1
        for number, event in read_events(self.path, sealed_from_start=new):
            self.length = number
            self._apply(event)

    def add(self, event: str, trial: Trial, **more: Any) -> TrialState:
        """Append an event, safe on the disk when this returns; gives the trial's new state."""
        line = {"event": event, "trial": trial.name, **more}
        append_line(self.path, sealed({**line, "number": self.length + 1}))
        self.length += 1
        self._apply(line)
        return self.states[trial.name]

    def seal(self) -> None:
        """Give the lines of release 0.1 their checksums and numbers."""
        if self.path.exists():
            events = [event for _, event in read_events(self.path)]
            lines = (sealed({**event, "number": n}) for n, event in enumerate(events, 1))
            write_atomically(self.path, b"".join(lines))

    def _apply(self, line: dict[str, Any]) -> None:
        state = self.states.get(str(line["trial"]))
        if state is None:
            return
        event = line.get("event")
        if event == "died":
            rounds = int(line["rounds"])
            state.deaths = 1 if rounds > state.rounds else state.deaths + 1
            state.rounds = rounds
        elif event == "finished":
            state.status, state.result, state.error = "finished", line["result"], None
        elif event == "failed":
            state.status, state.error = "failed", str(line["error"])
        elif event == "pruned":
            state.status, state.rounds = "pruned", int(line["rounds"])
        elif event == "again":
            state.status, state.error, state.deaths = "waiting", None, 0


def _trial(stored: Any, common: dict[str, Any]) -> Trial:
    """A trial as it is stored; one of release 0.1 with its settings in today's form."""
    if not isinstance(stored, dict):
        raise ValueError("a trial is no object")
    hold(stored, _TRIAL, "a trial")
    name = stored["name"]
    # It is a folder's name: one that leads elsewhere is nobody's.
    if not name or name in (".", "..") or _NO_NAME.search(name):
        raise ValueError(f"the trial {name!r} is no folder's name")
    try:
        own = stored["config"]
        config = {**common[own["optimizer"]], **own} if common else upgraded(own)
        OPTIMIZERS[config["optimizer"]]
        return Trial(name, stored["axes"], config)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the settings of the trial {name!r} are of no release: {error}") from None


def _write_spec(path: Path, trials: Sequence[Trial], about: dict[str, Any]) -> None:
    # What the trials of an optimiser have in common stands once: its first one's settings.
    common: dict[str, dict[str, Any]] = {}
    listed = []
    for trial in trials:
        shared = common.setdefault(trial.config["optimizer"], trial.config)
        own = {
            name: value
            for name, value in trial.config.items()
            if name == "optimizer" or shared[name] != value
        }
        listed.append({"name": trial.name, "axes": trial.axes, "config": own})
    content = {"format": FORMAT, "about": about, "settings": common, "trials": listed}
    write_atomically(path, sealed(content))


def without_place(result: dict[str, Any]) -> dict[str, Any]:
    """A run's result but for where it lies: that is the sweep's to say; it may be moved."""
    return {name: value for name, value in result.items() if name != "run_dir"}
