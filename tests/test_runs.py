"""Runs on disk: what is written, killed, resumed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import torch

import qnnw
from qnnw._common.documents import sealed
from qnnw.data import networks
from qnnw.data.registry import load
from qnnw.optim.derivative_free import NonFiniteLossError
from qnnw.training import evaluation
from qnnw.training.config import TrainConfig
from qnnw.training.export import export_run, model_of
from qnnw.training.periods import PeriodTrainer
from qnnw.training.presets import preset
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.runs import evaluate_run, resume, start
from qnnw.training.trainer import Reporter
from running import (
    StopAfter,
    check_that_kills_change_nothing,
    check_that_stops_change_nothing,
    cut,
    same_but_for_time,
)
from tiers import slowly

#: The paper's map, and its protocol for Iris, in short.
PAPER = preset("iris", "cobyla").changed(mapping="paper", scale="none", gamma=0.3)
SHORT = PAPER.changed(periods=4, angle_evals=30, gamma_evals=5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    result = start(SHORT, out)
    return RunFolder(result["run_dir"]), result


def test_the_folder_holds_all_that_is_promised(finished):
    folder, result = finished
    names = {path.name for path in folder.path.iterdir()}
    assert names >= {
        "config.json", "history.jsonl", "checkpoint.npz", "model.safetensors", "result.json",
        "history.png",
    }  # fmt: skip
    config = folder.read_config()
    assert config["config"] == SHORT.to_dict()
    assert config["versions"]["qnnw"] == qnnw.__version__
    assert config["data"] == load("iris", seed=0).checksums
    assert folder.picture_path.read_bytes().startswith(b"\x89PNG")
    assert folder.read_result() == result
    assert result["evaluations"] == 4 * 35
    assert (result["num_weights"], result["num_qubits"], result["num_trained"]) == (131, 8, 33)
    assert result["parameter_ratio"] == 33 / 131


def test_the_history_never_gets_worse(finished):
    folder, result = finished
    history = folder.read_history()
    assert [line["period"] for line in history] == [1, 2, 3, 4]
    losses = [line["loss"] for line in history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert set(history[0]) >= {
        "loss", "train_accuracy", "test_accuracy", "gamma", "evaluations", "seconds",
    }  # fmt: skip
    for name in ("loss", "train_accuracy", "test_accuracy", "gamma"):
        assert history[-1][name] == result[name]


def test_the_model_is_a_plain_network(finished):
    folder, result = finished
    network = networks.iris()
    network.load_state_dict(safetensors.torch.load_file(folder.model_path))
    data = load("iris", seed=0)
    with torch.no_grad():
        predicted = network(data.test_inputs).argmax(1)
    assert (predicted == data.test_labels).float().mean().item() == pytest.approx(
        result["test_accuracy"], abs=1e-6
    )


def test_the_checkpoint_gives_the_models_weights(finished):
    folder, _ = finished
    arrays, _, _ = folder.read_checkpoint()
    assert set(arrays) == {"best.angles", "best.gamma"}
    weight_map = qnnw.WeightMap(131, 0)
    angles, gamma = arrays["best.angles"], float(arrays["best.gamma"][0])
    weights = qnnw.generate_weights(qnnw.EfficientSU2(8, 1), angles, weight_map, gamma)
    saved = safetensors.torch.load_file(folder.model_path)
    names = [name for name, _ in networks.iris().named_parameters()]
    flat = torch.cat([saved[name].reshape(-1) for name in names]).numpy()
    assert np.array_equal(flat, weights.astype(np.float32))


def test_evaluate_run(finished):
    folder, result = finished
    for split in ("train", "test"):
        evaluation = evaluate_run(folder.path, split)
        assert evaluation["accuracy"] == result[f"{split}_accuracy"]
    assert evaluate_run(folder.path, "train")["loss"] == pytest.approx(result["loss"], rel=1e-6)
    with pytest.raises(ValueError, match="`split` is 'all'"):
        evaluate_run(folder.path, "all")


def test_a_run_repeats_itself_on_any_number_of_threads(finished, tmp_path):
    _, result = finished
    for threads in (1, 3):
        again = start(SHORT.changed(threads=threads), tmp_path)
        assert same_but_for_time(again, result)


def test_seeds_matter(finished, tmp_path):
    other = start(SHORT.changed(seed=1), tmp_path)
    assert other["loss"] != finished[1]["loss"]


@pytest.mark.parametrize("shots", [None, 2000])
@pytest.mark.parametrize("stops", [slowly([1]), slowly([40]), [70, 1, 50]])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, shots, stops):
    config = SHORT.changed(shots=shots, signs="random", mapping="centered")
    check_that_stops_change_nothing(config, tmp_path, stops)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    config = SHORT.changed(periods=12, angle_evals=60)
    check_that_kills_change_nothing(config, tmp_path, 6, seed=0)


def test_resuming_a_finished_run_only_reports(finished):
    folder, result = finished
    before = {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    assert resume(folder.path) == result
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()}


def test_shots_are_drawn_afresh_and_the_winner_is_kept(tmp_path):
    config = SHORT.changed(periods=2, shots=300)
    trainer = PeriodTrainer(config)
    start_values = trainer.best.parameters
    losses = {trainer.evaluate(start_values) for _ in range(5)}
    assert len(losses) == 5
    assert trainer.best.loss == min(losses)
    assert trainer.measure()[0].loss == trainer.best.loss
    result = start(config, tmp_path)
    assert evaluate_run(result["run_dir"], "test")["accuracy"] == result["test_accuracy"]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_periods(tmp_path, monkeypatch):
    class Poison(Reporter):
        def round_finished(self, line):
            original = evaluation.Evaluator.__call__

            def broken(self, weights):
                return dataclasses.replace(original(self, weights), loss=float("nan"))

            monkeypatch.setattr(evaluation.Evaluator, "__call__", broken)

    with pytest.raises(NonFiniteLossError, match="the objective is nan at evaluation 1"):
        start(SHORT, tmp_path, Poison())
    (path,) = tmp_path.iterdir()
    assert len(RunFolder(path).read_history()) == 1
    monkeypatch.undo()
    assert resume(path)["periods"] == 4


def cut_run(out):
    return RunFolder(cut(SHORT, out, 50))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    folder = cut_run(tmp_path)
    arrays, state, history = folder.read_checkpoint()
    more = {**arrays, "best.angles": np.zeros(40)}
    folder.write_checkpoint(more, state, history)
    with pytest.raises(RecordError, match="does not belong to"):
        resume(folder.path)
    folder.write_checkpoint({"best.angles": arrays["best.angles"]}, state, history)
    with pytest.raises(RecordError, match="is damaged"):
        resume(folder.path)
    folder.checkpoint_path.write_bytes(b"PK")
    with pytest.raises(RecordError, match="is damaged"):
        resume(folder.path)


def test_other_data_are_refused(tmp_path):
    folder = cut_run(tmp_path)
    config = folder.read_config()
    config["data"]["train_inputs"] = "0" * 64
    folder.config_path.write_bytes(sealed(config))
    with pytest.raises(RecordError, match="the data differ"):
        resume(folder.path)


def test_a_damaged_config_is_refused(tmp_path):
    folder = cut_run(tmp_path)
    config = json.loads(folder.config_path.read_text())
    for change in ({"reps": -1}, {"colour": "red"}, {"seed": "one"}):
        broken = {**config, "config": {**config["config"], **change}}
        folder.config_path.write_text(json.dumps(broken))
        with pytest.raises((RecordError, ValueError)):
            resume(folder.path)


def test_a_damaged_model_is_refused(finished, tmp_path):
    folder, _ = finished
    copied = RunFolder.create(tmp_path, "run", folder.read_config())
    content = folder.model_path.read_bytes()
    for damaged in (b"", content[:20], content[:-1], b"\x80\x04pickle"):
        copied.model_path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"model\.safetensors' cannot be loaded"):
            evaluate_run(copied.path)
    copied.model_path.unlink()
    with pytest.raises(RecordError, match=r"model\.safetensors' cannot be loaded"):
        evaluate_run(copied.path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dataset": "cifar"}, "`dataset` is 'cifar'"),
        ({"reps": -1}, "`reps` is -1"),
        ({"entanglement": "ring"}, "`entanglement` is 'ring'"),
        ({"signs": "odd"}, "`signs` is"),
        ({"mapping": "best"}, "`mapping` is"),
        ({"optimizer": "sgd"}, "`optimizer` is 'sgd'"),
        ({"scale": "big"}, "`scale` is 'big'"),
        ({"optimizer": "adam", "epochs": 0}, "`epochs` is 0"),
        ({"optimizer": "adam", "batch_size": 0}, "`batch_size` is 0"),
        ({"optimizer": "adam", "lr": -1.0}, "`lr` is -1.0"),
        ({"optimizer": "adam", "warmup": 1.0}, "`warmup` is 1.0"),
        ({"activation": "gelu"}, "`activation` is 'gelu'"),
        ({"loss": "mse"}, "`loss` is 'mse'"),
        ({"periods": 0}, "`periods` is 0"),
        ({"angle_evals": 0}, "`angle_evals` is 0"),
        ({"gamma_evals": -1}, "`gamma_evals` is -1"),
        ({"rhobeg": 0.0}, "`rhobeg` is 0.0"),
        ({"rhobeg_decay": float("nan")}, "`rhobeg_decay` is nan"),
        ({"gamma": -0.3}, "`gamma` is -0.3"),
        ({"gamma_step": 0.0}, "`gamma_step` is 0.0"),
        ({"shots": 0}, "`shots` is 0"),
        ({"seed": -1}, "`seed` is -1"),
        ({"seed": 2**64}, "`seed` is"),
        ({"train_samples": 1}, "`train_samples` is 1"),
        ({"threads": 0}, "`threads` is 0"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        start(SHORT.changed(**change), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_presets_are_the_papers():
    from qnnw.paper.presets import PRESETS

    def budget(config):
        method = config.optimizer
        return config.reps, method.periods, method.angle_evals, method.gamma_evals

    assert budget(PRESETS["iris"]) == budget(PAPER) == (1, 21, 100, 10)
    assert budget(PRESETS["mnist"]) == (27, 100, 2000, 200)
    assert {config.gamma for config in PRESETS.values()} == {0.3}
    assert all(isinstance(config, TrainConfig) for config in PRESETS.values())


def test_rhobeg_falls_geometrically():
    trainer = PeriodTrainer(SHORT.changed(periods=3, rhobeg=1.0, rhobeg_decay=0.01))
    steps = [trainer.angle_optimizer(period).rhobeg for period in (1, 2, 3)]
    assert steps == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.slow
def test_mnist_learns(tmp_path, mnist_dir):
    config = preset("mnist", "cobyla").changed(
        mapping="paper", scale="none", gamma=0.3, activation="identity", rhobeg=10.0,
        reps=1, periods=2, angle_evals=60, gamma_evals=8, train_samples=500,
        data_dir=str(mnist_dir),
    )  # fmt: skip
    result = start(config, tmp_path)
    first, last = RunFolder(result["run_dir"]).read_history()
    assert last["loss"] < first["loss"] < 3.2
    assert (result["num_weights"], result["num_qubits"]) == (6690, 13)
    assert result["test_samples"] == 10_000


@pytest.mark.slow
def test_iris_is_learned_as_in_the_paper(tmp_path):
    result = start(PAPER, tmp_path)
    assert result["evaluations"] == 21 * 110
    assert result["loss"] < 0.2
    assert result["train_accuracy"] >= 0.95
    assert result["test_accuracy"] >= 0.85


def test_exports_of_a_run(finished, tmp_path):
    """Every format gives the network's own outputs, without a circuit."""
    import onnxruntime

    folder, result = finished
    network = networks.iris().eval()
    network.load_state_dict(safetensors.torch.load_file(folder.model_path))
    inputs = load("iris", seed=0).test_inputs
    with torch.no_grad():
        expected = network(inputs)
    path = export_run(folder.path, "safetensors", tmp_path / "plain.safetensors")
    assert path.read_bytes() == folder.model_path.read_bytes()
    path = export_run(folder.path, "recipe")
    assert path == folder.path / "recipe.safetensors"
    assert path.stat().st_size < 2500
    assert torch.equal(qnnw.load_recipe(path, networks.iris())(inputs), expected)
    program = torch.export.load(export_run(folder.path, "pt2", tmp_path / "model.pt2")).module()
    assert torch.equal(program(inputs), expected)
    assert torch.equal(program(inputs[:1]), network(inputs[:1]))
    session = onnxruntime.InferenceSession(export_run(folder.path, "onnx", tmp_path / "m.onnx"))
    for part in (inputs, inputs[:1]):
        (logits,) = session.run(None, {"inputs": part.numpy()})
        np.testing.assert_allclose(logits, network(part).detach(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="`to` is 'zip'"):
        export_run(folder.path, "zip")
    assert evaluate_run(folder.path)["accuracy"] == result["test_accuracy"]


def test_a_run_without_a_checkpoint_has_no_recipe(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start(SHORT, tmp_path, StopAfter(1))
    (path,) = tmp_path.iterdir()
    for kind in ("recipe", "safetensors"):
        with pytest.raises(RecordError, match=r"no finished period|cannot be loaded"):
            export_run(path, kind)


def test_a_model_goes_on_from_its_run(finished):
    folder, _ = finished
    model = model_of(folder.path)
    inputs = load("iris", seed=0).test_inputs
    network = networks.iris()
    network.load_state_dict(safetensors.torch.load_file(folder.model_path))
    assert torch.equal(model(inputs), network(inputs))
    model(inputs).sum().backward()
    assert model.angles.grad.abs().sum() > 0
