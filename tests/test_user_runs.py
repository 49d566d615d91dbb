"""A user's own data and network in everything that a run has."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import qnnw
from qnnw.data.registry import load, network
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.export import ExportError, export_run, model_of
from qnnw.training.presets import preset
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.runs import evaluate_run, resume, start, train
from running import (
    StopAfter,
    check_that_kills_change_nothing,
    check_that_stops_change_nothing,
    cut,
    same_but_for_time,
)
from tiers import slowly
from user_files import diabetes_csv, digits_npz, image_folder, networks_py, wine_csv


def settings(data, **changed):
    changed = {"reps": 4, "epochs": 6, "batch_size": 32, **changed}
    return preset(data).changed(**changed)


@pytest.mark.parametrize("make", [wine_csv, diabetes_csv, digits_npz, image_folder])
@pytest.mark.parametrize("own", [False, slowly(True)])
def test_stops_change_nothing(tmp_path, make, own):
    changed = {"network": f"{networks_py(tmp_path)}:normed"} if own else {}
    config = settings(make(tmp_path), **changed)
    (tmp_path / "runs").mkdir()
    check_that_stops_change_nothing(config, tmp_path / "runs", [7, 11])


@pytest.mark.parametrize("optimizer", ["cobyla", "spsa"])
def test_stops_change_nothing_by_values_alone(tmp_path, optimizer):
    """A network with statistics, which nothing but gradients would move."""
    spec = f"{networks_py(tmp_path)}:normed"
    config = preset(wine_csv(tmp_path), optimizer).changed(
        network=spec, reps=2, periods=3, angle_evals=20, gamma_evals=4
    )
    (tmp_path / "runs").mkdir()
    check_that_stops_change_nothing(config, tmp_path / "runs", [7, 30])


@pytest.mark.slow
def test_kills_change_nothing(tmp_path):
    spec = f"{networks_py(tmp_path)}:normed"
    config = settings(wine_csv(tmp_path), network=spec, epochs=60, reps=2)
    (tmp_path / "runs").mkdir()
    check_that_kills_change_nothing(config, tmp_path / "runs", 4, seed=1)


def test_what_comes_out_of_wine(tmp_path):
    config = settings(wine_csv(tmp_path), epochs=40, reps=10)
    result = start(config, tmp_path / "runs")
    assert result["test_accuracy"] > 0.9
    assert result["task"] == "classification"
    folder = RunFolder(result["run_dir"])
    assert folder.path.name.startswith("wine-")
    about = folder.read_config()["dataset"]
    assert about["classes"] == ["class_0", "class_1", "class_2"]
    assert (about["input_shape"], about["num_outputs"]) == ([13], 3)
    assert folder.picture_path.read_bytes().startswith(b"\x89PNG")
    assert evaluate_run(folder.path)["accuracy"] == result["test_accuracy"]


@pytest.mark.parametrize("own", [False, True])
def test_exports_give_the_runs_outputs(tmp_path, own):
    import onnxruntime

    networks = networks_py(tmp_path)
    config = settings(
        diabetes_csv(tmp_path), epochs=2, network=f"{networks}:normed" if own else None
    )
    result = start(config, tmp_path / "runs")
    data = load(config.dataset, seed=0)
    plain = network(config.network, data).eval()
    folder = RunFolder(result["run_dir"])
    plain.load_state_dict(safetensors.torch.load_file(folder.model_path))
    inputs = data.test_inputs
    with torch.no_grad():
        expected = plain(inputs)
    session = onnxruntime.InferenceSession(export_run(folder.path, "onnx"))
    for part in (inputs, inputs[:1]):
        (outputs,) = session.run(None, {"inputs": part.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(outputs, plain(part), rtol=1e-4, atol=1e-6)
    program = torch.export.load(export_run(folder.path, "pt2")).module()
    torch.testing.assert_close(program(inputs), expected)
    with torch.no_grad():
        assert torch.equal(model_of(folder.path).eval()(inputs), expected)
        again = qnnw.load_recipe(export_run(folder.path, "recipe"), network(config.network, data))
        assert torch.equal(again.eval()(inputs), expected)


def test_a_network_that_cannot_be_traced_is_named(tmp_path):
    config = settings(wine_csv(tmp_path), network=f"{networks_py(tmp_path)}:counting", epochs=1)
    result = start(config, tmp_path / "runs")
    with pytest.raises(ExportError, match=r"`network` \(Counting\) cannot be exported"):
        export_run(result["run_dir"], "pt2")


def test_a_regression_is_measured_in_the_datas_units(tmp_path):
    config = settings(diabetes_csv(tmp_path), epochs=20)
    result = start(config, tmp_path / "runs")
    assert result["train_r2"] > 0.4
    assert result["loss_function"] == "mse"
    assert "train_accuracy" not in result
    data = load(config.dataset, seed=0)
    plain = network(None, data)
    plain.load_state_dict(safetensors.torch.load_file(result["run_dir"] + "/model.safetensors"))
    with torch.no_grad():
        rest = (plain(data.test_inputs)[:, 0] - data.test_labels).double().numpy()
    spread = data.test_labels.double().numpy()
    r2 = 1 - (rest**2).sum() / ((spread - spread.mean()) ** 2).sum()
    assert result["test_r2"] == pytest.approx(r2, rel=1e-5)
    unit = data.target_scale[0]
    assert result["test_rmse"] == pytest.approx(unit * np.sqrt((rest**2).mean()), rel=1e-5)
    assert 30 < result["test_rmse"] < 90
    line = RunFolder(result["run_dir"]).read_history()[-1]
    assert {"train_r2", "test_r2", "train_rmse", "test_rmse", "loss"} <= set(line)
    measured = evaluate_run(result["run_dir"], "train")
    assert (measured["r2"], measured["rmse"]) == (result["train_r2"], result["train_rmse"])


@pytest.mark.slow
def test_a_sweep_over_a_users_files(tmp_path):
    spec = f"{networks_py(tmp_path)}:normed"
    trials = trials_of(
        wine_csv(tmp_path), parse_grid("reps=1,2 seeds=0,1"), {"epochs": 2, "network": spec}
    )
    folder = SweepFolder.create(tmp_path / "sweep", trials, {"dataset": "wine"})
    states = run_sweep(folder, LocalEngine(2, 1, tmp_path / "log"))
    assert {state.status for state in states.values()} == {"finished"}
    assert "test_accuracy" in (folder.path / "results.csv").read_text().splitlines()[0]


def test_running_statistics_reach_the_model(tmp_path):
    config = settings(wine_csv(tmp_path), network=f"{networks_py(tmp_path)}:normed")
    result = start(config, tmp_path / "runs")
    state = safetensors.torch.load_file(result["run_dir"] + "/model.safetensors")
    assert state["norm.running_mean"].abs().max() > 0
    assert int(state["norm.num_batches_tracked"]) % 5 == 0  # 133 samples: batches of 32, one of 5
    assert state["norm.num_batches_tracked"] > 0
    fresh = network(config.network, load(config.dataset, seed=0))
    assert torch.equal(state["out.bias"], fresh.out.bias)


def test_objects_from_python(tmp_path):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 5)).astype(np.float32)
    targets = inputs @ rng.normal(size=(5, 2)) + 3
    module = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    result = train(
        module, (inputs, targets), out=tmp_path, epochs=30, reps=6, batch_size=20, seed=np.int64(3)
    )
    assert result["test_r2"] > 0.5
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())
    path = result["run_dir"]
    objects = {"network": module, "data": (inputs, targets)}
    assert evaluate_run(path, **objects)["r2"] == result["test_r2"]
    assert export_run(path, "pt2", network=module).is_file()
    for call in (evaluate_run, lambda run: export_run(run, "onnx")):
        with pytest.raises(RecordError, match=r"given from Python, <.*>; no record can make"):
            call(path)


def test_resuming_needs_the_same_objects(tmp_path):
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)

    def make():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    options = {"epochs": 4, "reps": 1, "batch_size": 16}
    whole = train(make(), (inputs, labels), out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train(make(), (inputs, labels), out=tmp_path / "cut", reporter=StopAfter(9), **options)
    (path,) = (tmp_path / "cut").iterdir()
    data = (inputs, labels)
    with pytest.raises(RecordError, match="give them again as `data`"):
        resume(path, network=make())
    with pytest.raises(RecordError, match="give them again as `network`"):
        resume(path, data=data)
    with pytest.raises(RecordError, match="the data differ"):
        resume(path, network=make(), data=(inputs + 1, labels))
    other = make()
    other[1].eps = 1e-3
    with pytest.raises(RecordError, match="the network differs"):
        resume(path, network=other, data=data)
    assert same_but_for_time(resume(path, network=make(), data=data), whole)


@pytest.mark.slow
def test_a_network_file_that_was_changed_is_noticed(tmp_path):
    networks = networks_py(tmp_path)
    config = settings(wine_csv(tmp_path), network=f"{networks}:normed")
    (tmp_path / "runs").mkdir()
    path = cut(config, tmp_path / "runs", 8)
    text = (tmp_path / "my_networks.py").read_text().replace("Dropout(0.1)", "Dropout(0.2)")
    (tmp_path / "my_networks.py").write_text(text)
    finished = subprocess.run(
        [sys.executable, "-m", "qnnw", "resume", str(path)], capture_output=True, text=True
    )
    assert finished.returncode == 1
    assert "the network differs" in finished.stderr


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        (":nothing", RuntimeError, "has no function 'nothing'; it has 'normed', 'counting'"),
        (":wrong", TypeError, "gave an object of type int; it must give a torch.nn.Module"),
        (":Normed", TypeError, "tuple"),  # takes a number of features, and is given a shape
    ],
)
def test_wrong_networks_are_told_before_anything_is_written(tmp_path, spec, error, text):
    config = settings(wine_csv(tmp_path), network=networks_py(tmp_path) + spec)
    with pytest.raises(error, match=text):
        start(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_outputs_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"puts out shape \(samples, 4\).*\(samples, 3\), one a"):
        train(nn.Linear(13, 4), wine_csv(tmp_path), out=tmp_path / "runs")


def test_an_object_that_is_no_network_is_told(tmp_path):
    with pytest.raises(TypeError, match="`network` is of type int; it must be a torch"):
        train(3, "iris", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_regression_in_words_and_pictures(tmp_path, capsys):
    from qnnw.training.plots import plot_run
    from qnnw.training.progress import Lines

    config = settings(diabetes_csv(tmp_path), epochs=2)
    result = start(config, tmp_path / "runs", Lines())
    told = capsys.readouterr().err
    assert f"train R² {result['train_r2']:.3f}, test R² {result['test_r2']:.3f}" in told
    assert "regression" in told
    plot_run(result["run_dir"])
    picture = RunFolder(result["run_dir"]).path / "history.svg"
    assert "R²" in picture.read_text()
    assert "Accuracy" not in picture.read_text()


def test_a_picture_that_fails_loses_nothing(tmp_path, monkeypatch, capsys):
    from qnnw.training import plots

    def broken(path):
        raise OSError("no space left")

    monkeypatch.setattr(plots, "plot_history", broken)
    result = start(settings(wine_csv(tmp_path), epochs=1), tmp_path / "runs")
    assert RunFolder(result["run_dir"]).read_result() == result
    assert "no space left" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_needs_no_matplotlib(tmp_path):
    script = f"""
import sys
sys.modules["matplotlib"] = None
from qnnw.training.runs import train
print(train(None, "iris", out={str(tmp_path)!r}, optimizer="cobyla", periods=1)["run_dir"])
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert RunFolder(finished.stdout.strip()).read_result() is not None
