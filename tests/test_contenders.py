"""The record's contenders: which runs they are, what each trains, what is refused."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from qnnw.cli import app
from qnnw.cli.records import selected
from qnnw.data import networks
from qnnw.paper.records import (
    CONTENDERS,
    COUNTS,
    DATASETS,
    Contender,
    Selection,
    cell_of,
    config_of,
    record_trials,
    search_trials,
)
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.sources import source_of


def config(trial):
    return TrainConfig.from_dict(trial.config)


def test_the_record_is_every_contender_at_every_count():
    cells = Selection().cells()
    # A control that trains a learned map's numbers alone has no more than those.
    controls = ["affine-control", "mps-control"]
    counted = [name for name in CONTENDERS if name not in ("direct", *controls)]
    assert len(cells) == len(set(cells)) == 2 * (5 * len(counted) + 2 * len(controls) + 1)
    assert COUNTS == (52, 130, 364, 702, 1500)
    assert {one.kind for one in CONTENDERS.values()} <= {"circuit", "rival", "learned", "direct"}
    trials = record_trials(Selection())
    assert len(trials) == len({trial.name for trial in trials}) == 5 * len(cells)
    assert {cell_of(trial.axes) for trial in trials} == set(cells)
    assert all(config(trial).validation_samples is None for trial in trials)


def test_the_search_is_every_rate_on_held_out_images():
    trials = search_trials(Selection(), "quick")
    assert len({trial.name for trial in trials}) == len(trials)
    assert {trial.config["validation_samples"] for trial in trials} == {10_000}
    assert {trial.config["seed"] for trial in trials} == {0}
    for cell in Selection().cells():
        rates = [t.config["lr"] for t in trials if cell_of(t.axes) == cell]
        assert rates == sorted(CONTENDERS[cell[1]].rates)
    # All are searched alike.
    assert len({one.rates for one in CONTENDERS.values() if one.kind != "direct"}) == 1


@pytest.mark.parametrize("dataset", DATASETS)
def test_contenders_share_the_circuits_budget_and_differ_in_the_source(dataset):
    counted = [cell for cell in Selection([dataset]).cells() if cell[2] is not None]
    for cell in counted:
        circuit = config_of((dataset, "circuit", cell[2]))
        assert circuit.dataset == dataset
        assert circuit.mapping == preset(dataset, trained=cell[2]).mapping
        own = {*CONTENDERS[cell[1]].settings, "gammas", "trained"}
        same = {key: getattr(circuit, key) for key in own}
        rates = {key: getattr(circuit.optimizer, key) for key in ("lr", "gamma_lr")}
        assert config_of(cell).changed(**same, **rates) == circuit
    direct = config_of((dataset, "direct", None))
    assert (direct.optimizer.name, direct.trained) == ("adam", None)
    assert direct.optimizer.epochs == config_of((dataset, "circuit", 1500)).optimizer.epochs
    paper = config_of((dataset, "paper", 364))
    assert (paper.mapping, paper.scale, paper.gamma) == ("paper", "none", 0.3)


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_trains_as_many_numbers_as_it_says(name):
    for cell in Selection(["mnist"], contenders=[name]).cells():
        source, _ = source_of(config_of(cell), networks.mnist())
        trained = sum(len(group.start) for group in source.groups.values())
        if cell[2] is None:
            assert trained == 6690
        elif name == "mcnc":  # points of a manifold come in sixes or tens
            assert cell[2] - 10 < trained <= cell[2]
        else:  # a circuit's gammas among them
            assert trained == cell[2]


def test_a_learned_map_is_one_line(monkeypatch):
    monkeypatch.setitem(CONTENDERS, "sqrt", Contender("another", "learned", {"mapping": "sqrt"}))
    assert ("mnist", "sqrt", 130) in Selection().cells()
    assert config_of(("mnist", "sqrt", 130)).mapping == "sqrt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("cifar", None, None),
            "`datasets` is 'cifar'; it must be 'mnist' or 'fashion-mnist'",
        ),
        ((None, "52,many", None), "`counts` is '52,many'; it must be whole numbers, like 52,130"),
        ((None, "1", None), "`counts` is 1; it must be at least 2"),
        ((None, "52,52", None), "`counts` has 52 twice"),
        ((None, ",", None), "`counts` is empty"),
        ((None, None, "circuit,magic"), "`contenders` is 'magic'; it must be 'circuit', "),
    ],
)
def test_what_there_is_not_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        selected(*arguments)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["records", "--budget", "tiny"], "`budget` is 'tiny'"),
        (["records", "--seeds", "0"], "`seeds` is 0; it must be at least 1"),
        (["records", "--datasets", "cifar"], "`datasets` is 'cifar'"),
        (["records", "--optimizer", "adam"], "`optimizer` is 'adam'; it is for the figures"),
        (["records", "--periods", "3"], "`periods` is 3; it is for the figures, not for"),
        (["fig2a", "--counts", "52"], "`counts` is '52'; it is for the record, not for 'fig2a'"),
        (["controls", "--search"], "`search` is True; it is for the record, not for 'controls'"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(words, message, tmp_path):
    found = CliRunner().invoke(app, ["paper", *words, "--out", str(tmp_path / "r")])
    assert found.exit_code == 2
    assert message in found.output
    assert not (tmp_path / "r").exists()
