"""Training by gradients: what a step computes, runs that are killed, and runs that collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import qnnw
from qnnw.data import networks
from qnnw.nn import QuantumTrain
from qnnw.optim.derivative_free import NonFiniteLossError
from qnnw.optim.schedules import one_cycle
from qnnw.training.epochs import EpochTrainer
from qnnw.training.gradient import BatchGradient
from qnnw.training.presets import preset
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.runs import evaluate_run, resume, start
from qnnw.training.stored import config_of, load_model
from qnnw.training.trainer import Reporter
from running import (
    StopAfter,
    check_that_kills_change_nothing,
    check_that_stops_change_nothing,
    same_but_for_time,
)
from tiers import slowly

SHORT = preset("iris").changed(epochs=5, batch_size=16)


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 200])
def test_the_batch_gradient_is_autograds(samples):
    network = networks.mnist()
    # Drawn from a seed: at a kink of the network two gradients are right.
    weights = np.random.default_rng(0).normal(0, 0.05, 6690).astype(np.float32)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(weights), network.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (samples,), generator=generator)
    loss, gradient = BatchGradient(network)(weights.astype(np.float64), images, labels)
    expected = functional.cross_entropy(network(images), labels)
    parts = torch.autograd.grad(expected, list(network.parameters()))
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    flat = torch.cat([part.reshape(-1) for part in parts]).numpy()
    np.testing.assert_allclose(gradient, flat, rtol=0, atol=1e-5 * np.abs(flat).max())
    for threads in (2, 3, 8):
        other = BatchGradient(network, threads=threads)
        again = other(weights.astype(np.float64), images, labels)
        other.close()
        assert again[0] == loss
        assert np.array_equal(again[1], gradient)


def test_a_step_is_that_of_quantum_train():
    """The trainer and the module that users wrap take the same steps."""
    config = SHORT.changed(epochs=1, batch_size=1000, seed=4)
    trainer = EpochTrainer(config)
    network = networks.iris().double()
    model = QuantumTrain(network, reps=1, seed=4)
    inputs, labels = trainer.data.train_inputs.double(), trainer.data.train_labels
    functional.cross_entropy(model(inputs), labels).backward()
    trainer.run_round(Reporter())
    trainer.close()
    for name, numbers in model.numbers.items():
        found = trainer._numbers[name].grad.numpy()
        np.testing.assert_allclose(found, numbers.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_iris_and_digits_are_learned(tmp_path):
    for name, least in (("iris", 0.9), ("digits", 0.9)):
        result = start(preset(name), tmp_path)
        assert result["train_accuracy"] > least
        assert result["test_accuracy"] > least - 0.06
        assert result["optimizer"] == "eigen-adam"


@pytest.mark.slow
def test_mnist_is_learned_within_an_epoch(tmp_path, mnist_dir):
    config = preset("mnist", epochs=1, train_samples=16000, data_dir=str(mnist_dir))
    result = start(config, tmp_path)
    assert result["test_accuracy"] > 0.85
    assert result["steps"] == 125
    parts = [result[f"{part}_seconds_per_step"] for part in ("circuit", "network", "rest")]
    assert all(part > 0 for part in parts)
    assert sum(parts) * result["steps"] < result["seconds"]


def test_the_record_is_whole(tmp_path):
    result = start(SHORT, tmp_path)
    folder = RunFolder(result["run_dir"])
    history = folder.read_history()
    assert [line["epoch"] for line in history] == [1, 2, 3, 4, 5]
    assert result["steps"] == 5 * 7
    assert history[-1]["lr"] == pytest.approx(0, abs=1e-12)
    best = min(history, key=lambda line: line["loss"])
    for name in ("loss", "train_accuracy", "test_accuracy", "gamma"):
        assert result[name] == best[name]
    assert evaluate_run(folder.path, "test")["accuracy"] == result["test_accuracy"]
    assert folder.picture_path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shots", [None, 2000])
@pytest.mark.parametrize("stops", [slowly([1]), slowly([10]), [15, 1, 9]])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, shots, stops):
    config = SHORT.changed(shots=shots, signs="random", scale="fan_in")
    check_that_stops_change_nothing(config, tmp_path, stops)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    check_that_kills_change_nothing(SHORT.changed(epochs=40), tmp_path, 5, seed=1)


@pytest.mark.slow
def test_threads_do_not_change_a_bit(tmp_path, mnist_dir):
    config = preset("mnist", reps=2, epochs=1, train_samples=600, data_dir=str(mnist_dir))
    results = [start(config.changed(threads=threads), tmp_path) for threads in (1, 2, 3)]
    assert same_but_for_time(results[0], results[1])
    assert same_but_for_time(results[0], results[2])


def test_a_run_that_falls_to_chance_goes_back_to_its_best_epoch(tmp_path, monkeypatch):
    real = EpochTrainer._step

    def step(self, batch, seconds):
        loss = real(self, batch, seconds)
        if self.steps == 14 * 7:
            self._numbers["gamma"].fill_(1e-6)  # every weight, and so every logit, 0
        return loss

    monkeypatch.setattr(EpochTrainer, "_step", step)
    # At 0.1 some runs fall by themselves as well, by the last bits of a sum.
    config = SHORT.changed(epochs=30, lr=0.03)
    result = start(config, tmp_path)
    history = RunFolder(result["run_dir"]).read_history()
    assert [line["epoch"] for line in history if line.get("collapsed")] == [14]
    assert history[13]["train_accuracy"] < 0.5
    assert history[14]["train_accuracy"] > 0.7
    assert history[14]["lr"] < 0.6 * history[12]["lr"]
    assert result["train_accuracy"] > 0.8


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_epochs(tmp_path, monkeypatch):
    class Poison(Reporter):
        def round_finished(self, line):
            nothing = lambda *_: (float("nan"), np.zeros(131))  # noqa: E731
            monkeypatch.setattr(BatchGradient, "__call__", nothing)

    with pytest.raises(NonFiniteLossError, match="the loss is nan at step 8"):
        start(SHORT, tmp_path, Poison())
    (path,) = tmp_path.iterdir()
    assert len(RunFolder(path).read_history()) == 1
    monkeypatch.undo()
    assert resume(path)["epochs"] == 5


def test_a_damaged_checkpoint_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start(SHORT, tmp_path, StopAfter(10))
    (path,) = tmp_path.iterdir()
    folder = RunFolder(path)
    arrays, state, history = folder.read_checkpoint()
    for name in ("now.angles", "moment.angles.exp_avg", "best.gamma"):
        missing = {key: value for key, value in arrays.items() if key != name}
        folder.write_checkpoint(missing, state, history)
        with pytest.raises(RecordError, match="is damaged"):
            resume(path)
    folder.write_checkpoint({**arrays, "now.angles": np.zeros(3)}, state, history)
    with pytest.raises(RecordError, match="is damaged"):
        resume(path)


def test_the_schedule_is_one_cycle():
    assert one_cycle(0.0, 0.3) == pytest.approx(0.04)
    assert one_cycle(0.3, 0.3) == 1.0
    assert one_cycle(0.65, 0.3) == pytest.approx(0.25)
    assert one_cycle(1.0, 0.3) == pytest.approx(0.0)
    assert one_cycle(0.0, 0.0) == 1.0
    shares = np.linspace(0, 1, 200)
    rates = np.array([one_cycle(share, 0.3) for share in shares])
    assert (np.diff(rates[shares <= 0.3]) > 0).all()
    assert (np.diff(rates[shares >= 0.3]) < 0).all()


def test_every_preset_names_its_optimizer():
    for name in ("iris", "digits", "mnist", "fashion-mnist"):
        assert preset(name).optimizer.name == "eigen-adam"
        for optimizer in ("cobyla", "spsa", "adam"):
            config = preset(name, optimizer)
            assert (config.dataset, config.optimizer.name) == (name, optimizer)
    for call in (lambda: preset("cifar"), lambda: preset("iris", "sgd")):
        with pytest.raises(ValueError, match="it must be"):
            call()


@pytest.mark.slow
def test_spsa_trains_with_shots(tmp_path):
    config = preset("iris", "spsa").changed(periods=8, angle_evals=100, gamma_evals=0, shots=2000)
    result = start(config, tmp_path)
    assert result["optimizer"] == "spsa"
    assert result["train_accuracy"] > 0.8


def test_the_saved_model_is_the_circuits(tmp_path):
    result = start(SHORT.changed(shots=700), tmp_path)
    folder = RunFolder(result["run_dir"])
    from qnnw.training.export import model_of

    merged = model_of(folder.path).merge_and_unload().state_dict()
    saved = load_model(folder, config_of(folder)).state_dict()
    assert all(torch.equal(merged[name], saved[name]) for name in saved)
    assert isinstance(load_model(folder, config_of(folder)), nn.Module)
    assert qnnw.__version__
