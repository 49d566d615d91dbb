"""The record: which runs it is, how learning rates are chosen, and what its table says."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from typer.testing import CliRunner

from qnnw.cli import app
from qnnw.cli.records import ALIKE, run_records
from qnnw.paper.estimates import seconds_of
from qnnw.paper.rates import choices_at, rates_of
from qnnw.paper.records import (
    CONTENDERS,
    DATASETS,
    PUBLISHED,
    SEARCH,
    Contender,
    Selection,
    about_records,
    cell_of,
    config_of,
    record_trials,
    search_trials,
)
from qnnw.paper.records_table import verdict, write_records_table
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.ledger import Ledger, SweepFolder
from qnnw.sweep.plots import plot_sweep
from qnnw.sweep.tables import Group
from qnnw.training.record import RecordError

SMALL = Selection(["mnist"], [52, 130], ["circuit", "hashed", "direct"])
# Runs of a second.
TINY = {"train_samples": 256, "epochs": 1, "batch_size": 64}


class Pretended:
    """An engine of which the accuracies are given."""

    def __init__(self, accuracy, stop_after=None):
        self.accuracy, self.stop_after, self.capacity, self._due = accuracy, stop_after, 1, []

    def start(self, trial, path):
        self._due.append(trial)

    def reports(self, timeout):
        if self.stop_after == 0:
            raise KeyboardInterrupt
        self.stop_after = None if self.stop_after is None else self.stop_after - 1
        trial = self._due.pop(0)
        trained = 6690 if trial.axes["count"] is None else trial.axes["count"] + 1
        accuracy = self.accuracy(trial)
        if isinstance(accuracy, str):
            return [(trial, {"error": accuracy})]
        result = {"num_trained": trained, "loss": 0.1, "gamma": 1.0}
        result |= {"train_accuracy": 0.0, "test_accuracy": accuracy}
        return [(trial, {"result": result})]

    def close(self):
        pass


def pretend(accuracy):
    """As ``run`` of :func:`run_records`."""

    def run(folder):
        states = run_sweep(folder, Pretended(accuracy))
        return {name: {"status": state.status} for name, state in states.items()}

    return run


def best_at(rate):
    """Accuracies that are best at a rate, and with more numbers; a rival lies below."""

    def accuracy(trial):
        if trial.config["validation_samples"] is None:
            return 0.9 + 0.01 * trial.axes["seed"] - 0.05 * (trial.axes["contender"] != "circuit")
        return 0.8 - abs(trial.axes["lr"] - rate)

    return accuracy


def test_the_record_runs_at_the_rates_that_the_search_chose(tmp_path):
    accuracy = best_at(0.03)
    run_records(tmp_path / "r", SMALL, "quick", 2, None, pretend(accuracy))
    search = SweepFolder(tmp_path / "r" / SEARCH)
    choices = choices_at(search)
    assert {cell: choice.rate for cell, choice in choices.items()} == {
        ("mnist", "circuit", 52): 0.03,
        ("mnist", "circuit", 130): 0.03,
        ("mnist", "hashed", 52): 0.03,
        ("mnist", "hashed", 130): 0.03,
        ("mnist", "direct", None): 0.01,
    }
    assert choices["mnist", "direct", None].at_an_end
    assert not choices["mnist", "hashed", 52].at_an_end
    record = SweepFolder(tmp_path / "r")
    assert {trial.config["lr"] for trial in record.trials} == {0.03, 0.01}
    text = write_records_table(record)
    assert (tmp_path / "r" / "records.md").read_text() == text
    assert "| weights from | 52 | 130 | all |" in text
    assert "| the circuit | **90.50 ± 0.71** (53) | **90.50 ± 0.71** (131) |  |" in text
    assert "| hashed weights | 85.50 ± 0.71 (53) | 85.50 ± 0.71 (131) |  |" in text
    assert "| the network's own weights |  |  | 85.50 ± 0.71 (6690) |" in text
    assert "| the circuit | 0.03 | 0.03 |  |" in text
    assert "| the network's own weights |  |  | > 0.01 |" in text
    assert "3 epochs (budget quick)" in text
    assert "not in this sweep: the circuit, the paper's map, random subspace" in text
    assert "count 364, count 702, count 1500" in text
    assert "| 52 | open: not two finished runs of random subspace" in text
    assert "Liu et al. 2024, the paper: 80.21 with 728" in text


def test_equal_accuracies_choose_the_smallest_rate(tmp_path):
    folder = SweepFolder.create(tmp_path / "s", search_trials(SMALL), about_records("full"))
    run_sweep(folder, Pretended(lambda _: 0.5))
    assert {choice.rate for choice in choices_at(folder).values()} == {0.003, 0.0003}


def test_a_failed_rate_is_not_chosen_and_a_test_set_chooses_nothing(tmp_path):
    path = tmp_path / "r"
    search = SweepFolder.create(path / SEARCH, search_trials(SMALL), about_records("full"))
    run_sweep(search, Pretended(lambda t: "it broke" if t.axes["lr"] < 0.3 else 0.5))
    assert choices_at(search)["mnist", "circuit", 52].tried == (0.3,)
    with pytest.raises(RecordError, match="search of 'direct' on mnist has no choice yet"):
        rates_of(path, SMALL)
    record = SweepFolder.create(path, record_trials(SMALL), about_records("full"))
    with pytest.raises(RecordError, match="was measured on the test set"):
        choices_at(record)


def test_without_a_search_the_table_says_so(tmp_path):
    run_records(tmp_path, SMALL, "quick", 2, False, pretend(lambda _: 0.5))
    assert not (tmp_path / SEARCH).exists()
    text = (tmp_path / "records.md").read_text() if (tmp_path / "records.md").exists() else ""
    text = text or write_records_table(SweepFolder(tmp_path))
    assert "| hashed weights | * | * |  |" in text
    # A record by other rates than those that are there is another record.
    with pytest.raises(RecordError, match=r"another grid.*lr"):
        run_records(tmp_path, SMALL, "quick", 2, None, pretend(best_at(0.1)))


def test_a_search_that_is_cut_off_is_named_and_goes_on(tmp_path):
    path, accuracy = tmp_path / "r", best_at(0.1)

    def cut(folder):
        return run_sweep(folder, Pretended(accuracy, stop_after=7))

    with pytest.raises(KeyboardInterrupt):
        run_records(path, SMALL, "quick", 2, None, cut)
    with pytest.raises(RecordError, match="the search of 'circuit' on mnist at 52 has no choice"):
        run_records(path, SMALL, "quick", 2, False, pretend(accuracy))
    run_records(path, SMALL, "quick", 2, True, pretend(accuracy))
    assert not (path / "sweep.json").exists()
    with pytest.raises(KeyboardInterrupt):
        run_records(path, SMALL, "quick", 2, False, cut)
    partial = write_records_table(SweepFolder(path))
    assert "3 of 10 runs are not finished" in partial
    assert "\N{EN DASH}" in partial
    run_records(path, SMALL, "quick", 2, None, pretend(accuracy))
    run_records(tmp_path / "whole", SMALL, "quick", 2, None, pretend(accuracy))
    whole = write_records_table(SweepFolder(tmp_path / "whole"))
    assert write_records_table(SweepFolder(path)) == whole
    for name in ("table.md", "results.csv"):
        left, right = (place / name for place in (path, tmp_path / "whole"))
        assert left.read_text() == right.read_text()


def test_more_of_the_record_is_added_to_what_is_there(tmp_path):
    less = Selection(["mnist"], [52], ["circuit"])
    run_records(tmp_path, less, "quick", 1, None, pretend(best_at(0.1)))
    run_records(tmp_path, SMALL, "quick", 2, None, pretend(best_at(0.1)))
    folder = SweepFolder(tmp_path)
    assert len(folder.trials) == 10
    assert all(state.status == "finished" for state in folder.states().values())


def group(*accuracies):
    return Group({}, tuple({"test_accuracy": one} for one in accuracies), 3)


def test_the_verdict_is_computed():
    circuit = group(0.970, 0.972, 0.974)  # 97.2 ± 0.2
    near, far = group(0.969, 0.970, 0.971), group(0.95, 0.95, 0.95)  # ± 0.1, ± 0
    assert verdict(circuit, {"a": far}) == "yes: the next, a is 2.20 ± 0.20 below"
    # 0.20 points are less than the root of 0.2² + 0.1².
    assert verdict(circuit, {"a": far, "b": near}) == "no: b is 0.20 ± 0.22 below"
    assert verdict(far, {"a": near, "b": circuit}) == (
        "no: b is 2.20 ± 0.20 above; a is 2.00 ± 0.10 above"
    )
    wider = group(0.974, 0.975, 0.976)  # 0.30 are more than 0.22
    assert verdict(wider, {"c": circuit}) == "yes: the next, c is 0.30 ± 0.22 below"
    assert verdict(circuit, {"a": far, "d": None, "e": group(0.9)}) == (
        "open: not two finished runs of d, e; the circuit leads the others"
    )
    assert verdict(circuit, {"b": near, "d": None}).startswith("no: b")
    assert verdict(None, {"a": far}).startswith("open: the circuit has not")
    assert verdict(group(0.9), {"a": far}).startswith("open: the circuit has not")


def test_the_picture_shows_bands_and_published_points(tmp_path):
    selection = Selection(list(DATASETS), [52, 130], ["circuit", "hashed", "direct"])
    run_records(tmp_path, selection, "quick", 2, None, pretend(best_at(0.1)))
    picture = (tmp_path / "records.svg").read_text()
    assert (tmp_path / "records.png").stat().st_size > 10_000
    for words in (
        "MNIST", "FashionMNIST", "Test error (%)", "Trained numbers", "hashed weights",
        "the network's own weights, 6690", "mean and sd of 2 seeds",
        *{one.source for one in PUBLISHED},
    ):  # fmt: skip
        assert words in picture
    plot_sweep(tmp_path)
    assert (tmp_path / "records.svg").read_text() == picture


def test_tables_and_picture_are_redrawn_from_what_is_there(tmp_path):
    run_records(tmp_path, SMALL, "quick", 2, None, pretend(best_at(0.1)))
    (tmp_path / "records.png").unlink()
    found = CliRunner().invoke(app, ["plot", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert "records.md" in found.output
    assert (tmp_path / "records.png").is_file()
    assert "yes" not in (tmp_path / "records.md").read_text()
    found = CliRunner().invoke(app, ["plot", str(tmp_path / SEARCH)])
    assert found.exit_code == 0, found.output
    chosen = (tmp_path / SEARCH / "records-search.md").read_text()
    assert (
        "| MNIST | hashed weights | 52 | 0.1 | 80.00 | 0.003, 0.01, 0.03, 0.1, 0.3 | 3 |" in chosen
    )


def test_the_time_of_both_stages_is_told_before_the_first(tmp_path, monkeypatch):
    timed = []
    monkeypatch.setattr(
        "qnnw.paper.estimates._whole_run", lambda trial, _: timed.append(trial.name) or 10.0
    )
    said = []

    def announce(folder, work):
        said.append((folder.path.name, seconds_of(work, 1, alike=ALIKE)))

    selection = Selection(list(DATASETS), [52, 130], ["circuit", "hashed"])
    run = pretend(best_at(0.1))
    run_records(tmp_path, selection, "quick", 2, None, run, announce)
    # Eight cells: five rates, then two seeds; both data sets take the same time.
    assert said == [(SEARCH, 10.0 * 8 * (5 + 2))]
    assert len(timed) == 4
    run_records(tmp_path, selection, "quick", 3, None, run, announce)
    assert said[1:] == [(SEARCH, 80.0)]


@pytest.mark.slow
def test_a_small_record_is_searched_run_killed_and_gone_on_with(tmp_path, monkeypatch, mnist_dir):
    for name in ("circuit", "hashed"):
        few = dataclasses.replace(CONTENDERS[name], rates=(0.003, 0.1))
        monkeypatch.setitem(CONTENDERS, name, few)
    selection = Selection(["mnist"], [52], ["circuit", "hashed"])
    place = {"data_dir": str(mnist_dir), **TINY}

    def run(folder):
        return run_sweep(folder, LocalEngine(1, 1, folder.path / "workers.log"))

    def failing(folder):
        engine = LocalEngine(1, 1, folder.path / "workers.log")
        heard = engine.reports

        def reports(timeout):
            if len(Ledger(folder).states) and any(
                state.status == "finished" for state in folder.states().values()
            ):
                raise KeyboardInterrupt
            return heard(timeout)

        engine.reports = reports
        return run_sweep(folder, engine)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    states = run_records(whole, selection, "quick", 2, None, run, **place)
    assert {state.status for state in states.values()} == {"finished"}
    # The rate is the best by accuracy on the held-out images, and nothing else of the search.
    search = SweepFolder(whole / SEARCH)
    results = search.states()
    for cell, choice in choices_at(search).items():
        held_out = {
            trial.axes["lr"]: results[trial.name].result["test_accuracy"]
            for trial in search.trials
            if cell_of(trial.axes) == cell
        }
        assert choice.accuracy == max(held_out.values()) == held_out[choice.rate]
        ours = [t for t in SweepFolder(whole).trials if cell_of(t.axes) == cell]
        assert {trial.config["lr"] for trial in ours} == {choice.rate}
    shutil.copytree(whole / SEARCH, cut / SEARCH)
    with pytest.raises(KeyboardInterrupt):
        run_records(cut, selection, "quick", 2, None, failing, **place)
    states = run_records(cut, selection, "quick", 2, None, run, **place)
    assert {state.status for state in states.values()} == {"finished"}
    text = write_records_table(SweepFolder(whole))
    assert write_records_table(SweepFolder(cut)) == text
    # Both train as many numbers as the column says, gamma among them: none stands in brackets.
    assert "| weights from | 52 |\n| --- | --- |\n| the circuit | > 0.1 |" in text
    assert "(52)" in text


@pytest.mark.slow
def test_the_command_shows_the_tables_of_both_stages(tmp_path, monkeypatch, mnist_dir):
    import qnnw.paper.records as records

    monkeypatch.setattr(
        records, "config_of", lambda cell, whole=config_of: whole(cell).changed(train_samples=256)
    )
    monkeypatch.setitem(
        CONTENDERS, "circuit", Contender("the circuit", "circuit", rates=(0.01, 0.1))
    )
    words = [
        "paper", "records", "--datasets", "mnist", "--counts", "52", "--contenders", "circuit",
        "--seeds", "2", "--budget", "quick", "--workers", "1", "--out", str(tmp_path / "r"),
        "--data-dir", str(mnist_dir),
    ]  # fmt: skip
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "| MNIST | the circuit | 52 |" in found.output
    assert "| the circuit | **" in found.output
    again = CliRunner().invoke(app, [*words, "--no-search", "--json", "--quiet"])
    trials = json.loads(again.stdout.splitlines()[-1])["trials"]
    assert {trial["status"] for trial in trials.values()} == {"finished"}
