"""Settings: declared once, checked by name, Python's own numbers, and back from a record."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnnw.training.config import TrainConfig, all_settings
from qnnw.training.legacy import upgraded
from qnnw.training.optimizers import (
    OPTIMIZERS,
    Adam,
    Cobyla,
    EigenAdam,
    optimizer_named,
    optimizer_of,
)
from qnnw.training.presets import preset, settings_table
from qnnw.training.settings import parsed, settings_of
from qnnw.weights.settings import LEARNED


def test_reading_the_settings_needs_no_torch():
    script = """
import sys
import qnnw.training.presets
qnnw.training.presets.settings_table()
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def values_of(declared):
    """Some value that a setting may have."""
    if declared.choices is not None:
        values = st.sampled_from(declared.choices)
    elif declared.kind is bool:
        values = st.booleans()
    elif declared.kind is int:
        most = min(10_000, int(declared.range["most"] or 10_000))
        values = st.integers(max(1, int(declared.range["least"] or 0)), most)
    elif declared.kind is float:
        values = st.floats(0.01, 0.9)
    else:
        values = st.just("digits")
    return st.none() | values if declared.optional else values


@given(data=st.data(), name=st.sampled_from(list(OPTIMIZERS)))
def test_a_record_gives_the_settings_back(data, name):
    own = {n: data.draw(values_of(s), n) for n, s in settings_of(OPTIMIZERS[name]).items()}
    run = {n: data.draw(values_of(s), n) for n, s in settings_of(TrainConfig).items()}
    if run["source"] != "circuit":
        run["shots"] = None
    if run["source"] in ("frozen", "haar"):
        run["trained"], run["gammas"] = None, "one"
    unused = {
        "chunk": ("qpa", "qpa-relu"), "bond": ("mps",), "map_inputs": LEARNED,
        "circuits": ("circuit",), "dtype": ("circuit",),
    }  # fmt: skip
    unused = {name: of for name, of in unused.items() if run["source"] not in of}
    if run["source"] in LEARNED:
        unused |= dict.fromkeys(("mapping", "signs", "gamma", "gammas"))
    # What stands for each other, and circuits and backends by name, have tests of their own.
    unused |= dict.fromkeys(("circuit", "backend", "noise", "gradient", "fraction", "mitigate"))
    unused |= dict.fromkeys(("trajectories",))
    run |= {name: settings_of(TrainConfig)[name].default for name in unused}
    config = TrainConfig(optimizer=optimizer_named(name, own), **run)
    stored = json.loads(json.dumps(config.to_dict(), allow_nan=False))
    assert TrainConfig.from_dict(stored) == config
    assert preset("iris").changed(optimizer=name, **run, **own) == config


def test_numpys_numbers_become_pythons():
    config = preset("iris").changed(
        seed=np.int64(3), reps=np.uint8(2), lr=np.float32(0.5), epochs=np.int32(7),
        shots=np.int64(9), gamma=np.float64(1), mapping=np.str_("paper"), threads=np.array(2),
    )  # fmt: skip
    plain = preset("iris").changed(
        seed=3, reps=2, lr=0.5, epochs=7, shots=9, gamma=1.0, mapping="paper", threads=2
    )
    assert config == plain
    assert repr(config) == repr(plain)
    assert json.dumps(config.to_dict()) == json.dumps(plain.to_dict())
    assert preset("iris", "cobyla").changed(rotate=np.bool_(False)).optimizer.rotate is False


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"nothing": 1}, ValueError, "`nothing` is no setting"),
        ({"periods": 3}, ValueError, "`periods` is no setting of the optimizer 'eigen-adam'"),
        ({"optimizer": "cobyla", "epochs": 3}, ValueError, "`epochs` is no setting of the optim"),
        ({"optimizer": "sgd"}, ValueError, "`optimizer` is 'sgd'"),
        ({"optimizer": 3}, TypeError, "`optimizer` is of type int"),
        ({"reps": -1}, ValueError, "`reps` is -1; it must be at least 0"),
        ({"reps": 1.5}, TypeError, "`reps` is 1.5"),
        ({"seed": True}, TypeError, "`seed` is True"),
        ({"seed": 2**64}, ValueError, "`seed` is 18446744073709551616"),
        ({"lr": float("nan")}, ValueError, "`lr` is nan"),
        ({"warmup": 1.0}, ValueError, r"`warmup` is 1.0; it must be at least 0 and below 1"),
        ({"mapping": "other"}, ValueError, "`mapping` is 'other'"),
        ({"shots": 0}, ValueError, "`shots` is 0"),
        ({"dataset": "nowhere"}, ValueError, "`dataset` is 'nowhere'"),
        ({"device": 3}, TypeError, "`device` is of type int"),
        ({"source": "haar", "shots": 5}, ValueError, "`shots` is 5; weights from 'haar'"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(changed, error, text):
    with pytest.raises(error, match=text):
        preset("iris").changed(**changed)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 3}, "`format` of the settings is 3"),
        ({"reps": None}, "`reps` is missing"),
        ({"optimizer": None}, "`optimizer` is missing"),
        ({"epochs": None}, "`epochs` is missing"),
        ({"periods": 3}, "`periods` is no setting of a run by 'eigen-adam'"),
    ],
)
def test_a_record_that_is_not_whole_is_refused(changes, text):
    stored = preset("iris").to_dict()
    for name, value in changes.items():
        if value is None:
            del stored[name]
        else:
            stored[name] = value
    with pytest.raises(ValueError, match=text):
        TrainConfig.from_dict(stored)


def test_the_table_tells_every_setting():
    table = settings_table()
    for name, declared in all_settings().items():
        assert f"| `{name}` |" in table
        assert declared.help in table
        assert declared.help.endswith(".")


def test_words_become_values_by_the_declaration():
    known = all_settings()
    assert parsed(known["shots"], "none") is None
    assert parsed(known["shots"], "8192") == 8192
    assert parsed(known["rotate"], "False") is False
    assert parsed(known["lr"], "1e-2") == 0.01
    for name, word in (("reps", "none"), ("reps", "1.5"), ("rotate", "1"), ("lr", "fast")):
        with pytest.raises(ValueError, match=f"'{word}' for '{name}'; it must be"):
            parsed(known[name], word)


def test_another_optimiser_starts_from_its_own_settings():
    best = preset("digits")
    assert best.optimizer == EigenAdam(epochs=100, batch_size=32, lr=0.03)
    assert preset("digits", "adam").optimizer == Adam(epochs=100, batch_size=32, lr=0.03)
    assert preset("digits", "cobyla").optimizer == Cobyla()
    assert best.changed(optimizer="adam", epochs=3).optimizer == Adam(epochs=3)
    assert best.changed(optimizer="eigen-adam", epochs=3).optimizer.batch_size == 32
    assert (best.mapping, best.scale, best.gamma) == ("centered", "fan_in", 1.2)


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ({"optimizer": "adam"}, "eigen-adam"),
        ({"optimizer": "adam", "preconditioning": "diagonal"}, "adam"),
        ({"optimizer": "adam", "weights_from": "direct"}, "adam"),
        ({"optimizer": "cobyla"}, "cobyla"),
        ({}, "cobyla"),
    ],
)
def test_the_last_releases_settings_are_upgraded(old, name):
    config = TrainConfig.from_dict(upgraded({"dataset": "iris", "reps": 2, **old}))
    assert config.optimizer.name == name
    assert (config.mapping, config.scale, config.gamma) == ("paper", "none", 0.3)
    assert config.loss is None  # the task's own, cross-entropy
    assert upgraded(config.to_dict()) == config.to_dict()


def test_the_best_map_is_everybodys_default():
    import inspect

    import torch

    from qnnw.nn import QuantumTrain
    from qnnw.paper import PRESETS
    from qnnw.sklearn import QuantumTrainClassifier, QuantumTrainRegressor
    from qnnw.weights.settings import BEST, PAPER

    config = TrainConfig()
    assert {name: getattr(config, name) for name in BEST} == BEST
    for kind in (QuantumTrainClassifier, QuantumTrainRegressor):
        parameters = inspect.signature(kind).parameters
        assert {name: parameters[name].default for name in BEST} == BEST
        assert {name: getattr(kind.paper(), name) for name in PAPER} == PAPER
    network = torch.nn.Linear(4, 3)
    plain, named = QuantumTrain(network), QuantumTrain(network, **BEST)
    assert torch.equal(plain.module.weight, named.module.weight)
    paper, named = QuantumTrain.paper(network), QuantumTrain(network, **PAPER)
    assert torch.equal(paper.module.weight, named.module.weight)
    assert not torch.equal(paper.module.weight, plain.module.weight)
    for preset_of_paper in PRESETS.values():
        assert {name: getattr(preset_of_paper, name) for name in PAPER} == PAPER


@pytest.mark.parametrize(
    ("names", "optimizer"),
    [
        ((), None),
        (("reps", "seed"), None),
        (("epochs", "lr"), None),
        (("periods",), "cobyla"),
        (("reps", "angle_evals", "rotate"), "cobyla"),
        (("periods", "epochs"), None),
    ],
)
def test_settings_tell_their_optimizer(names, optimizer):
    assert optimizer_of(names) == optimizer


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"source": "hashed", "circuit": "u3_cu3"}, "`circuit` is 'u3_cu3'; it needs a source"),
        ({"source": "hashed", "circuits": 4}, "`circuits` is 4; it is of 'circuit'"),
        ({"source": "hashed", "dtype": "float32"}, "`dtype` is 'float32'; it is of 'circuit'"),
        ({"circuits": 4, "circuit": "u3_cu3"}, "`circuits` is 4; it needs the usual circuit"),
        ({"circuits": 4, "noise": "readout=0.1"}, "`circuits` is 4; it needs the usual circuit"),
    ],
)
def test_what_a_source_would_leave_unread_is_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        preset("iris", **settings)
