"""The loops that people use: real steps, a saved and reloaded model, equal numbers.

Those of other packages need the extra ``[ecosystem]``. DistributedDataParallel has
``test_distributed.py``, fully_shard ``test_fsdp.py``.
"""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from qnnw.nn import QuantumTrain

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
INPUTS = torch.linspace(-1, 1, 64).view(16, 4)
LABELS = (INPUTS.sum(dim=1) > 0).long()
DATA = TensorDataset(INPUTS, LABELS)


class Classifier(nn.Module):
    """Called as transformers call their models: labels in, loss out."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, inputs, labels=None):
        logits = self.out(torch.tanh(self.hidden(inputs)))
        if labels is None:
            return logits
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def network():
    torch.manual_seed(0)
    return Classifier()


@pytest.fixture(params=["anew", "kept"])
def model(request):
    """All weights made; and chunks that change a network of which one layer trains besides."""
    if request.param == "anew":
        return QuantumTrain(network(), reps=3)
    settings = {"circuits": 4, "dtype": "float32", "trainable": "out.bias"}
    return QuantumTrain(network(), base="keep", target_parameters="*.weight", **settings)


def check(model, before, tmp_path):
    """It has learned, and what is saved is it."""
    model.eval().cpu()
    after = functional.cross_entropy(model(INPUTS), LABELS).item()
    assert after < before
    model.save_pretrained(tmp_path / "saved")
    again = QuantumTrain.from_pretrained(network(), tmp_path / "saved").eval()
    assert torch.equal(again(INPUTS), model(INPUTS))


@pytest.fixture
def before(model):
    with torch.no_grad():
        return functional.cross_entropy(model(INPUTS), LABELS).item()


def adam(model):
    return torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(model, before, dtype, tmp_path):
    optimizer = adam(model)
    # So large a scale overflows, and the step is left out.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60, enabled=dtype == torch.float16)
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            loss = functional.cross_entropy(model(INPUTS), LABELS)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    if dtype == torch.float16:
        assert scaler.get_scale() < 2.0**60
    check(model, before, tmp_path)


def test_accumulated_gradients_are_those_of_the_whole_batch(model, before, tmp_path):
    optimizer = adam(model)
    for _ in range(5):
        optimizer.zero_grad()
        functional.cross_entropy(model(INPUTS), LABELS).backward()
        whole = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        for way in (contextlib.nullcontext, model.accumulate):
            optimizer.zero_grad()
            with way():
                for part in range(4):
                    chosen = slice(4 * part, 4 * part + 4)
                    loss = functional.cross_entropy(model(INPUTS[chosen]), LABELS[chosen]) / 4
                    loss.backward()
            found = [p.grad for p in model.parameters() if p.requires_grad]
            for gradient, expected in zip(found, whole, strict=True):
                torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
        optimizer.step()
    check(model, before, tmp_path)


def test_activation_checkpoints(model, before, tmp_path):
    from torch.utils.checkpoint import checkpoint

    optimizer = adam(model)
    for _ in range(5):
        optimizer.zero_grad()
        hidden = checkpoint(model.module.hidden, INPUTS, use_reentrant=False)
        functional.cross_entropy(model.module.out(torch.tanh(hidden)), LABELS).backward()
        found = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        optimizer.zero_grad()
        functional.cross_entropy(model(INPUTS), LABELS).backward()
        expected = [p.grad for p in model.parameters() if p.requires_grad]
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        optimizer.step()
    check(model, before, tmp_path)


def test_averaged_weights(model, before, tmp_path):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=False)
    optimizer = adam(model)
    for _ in range(10):
        optimizer.zero_grad()
        functional.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
        averaged.update_parameters(model)
    assert not torch.equal(averaged.module.angles, model.angles)
    check(averaged.module, before, tmp_path)


def test_lbfgs(model, before, tmp_path):
    numbers = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(numbers, max_iter=10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(INPUTS), LABELS)
        loss.backward()
        return loss

    optimizer.step(closure)
    check(model, before, tmp_path)


@pytest.mark.slow  # the compiler's minute
def test_a_compiled_model_takes_the_same_steps(model, before, tmp_path):
    plain = QuantumTrain.from_pretrained(network(), _saved(model, tmp_path))
    compiled = torch.compile(model)
    for way, one in ((compiled, model), (plain, plain)):
        optimizer = adam(one)
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(way(INPUTS), LABELS).backward()
            optimizer.step()
    torch.testing.assert_close(model.angles, plain.angles, rtol=1e-3, atol=1e-4)
    check(model, before, tmp_path)


def _saved(model, tmp_path):
    model.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


def test_transformers_trainer_with_default_arguments(model, before, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    data = [{"inputs": x, "labels": y} for x, y in zip(INPUTS, LABELS, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "run"), report_to="none", use_cpu=True, disable_tqdm=True
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    assert trainer.train().global_step == 6
    assert trainer.evaluate()["eval_loss"] == pytest.approx(
        functional.cross_entropy(model(INPUTS), LABELS).item(), abs=1e-5
    )
    trainer.save_model(str(tmp_path / "theirs"))
    safetensors = pytest.importorskip("safetensors.torch")
    state = safetensors.load_file(tmp_path / "theirs" / "model.safetensors")
    expected = model(INPUTS)
    fresh = QuantumTrain.from_pretrained(network(), _saved(model, tmp_path))
    with torch.no_grad():
        fresh.angles.zero_()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.eval()(INPUTS), expected)
    check(model, before, tmp_path)


def test_accelerate(model, before, tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    loader = DataLoader(DATA, batch_size=4)
    prepared, optimizer, loader = accelerator.prepare(model, adam(model), loader)
    for _ in range(5):
        for inputs, labels in loader:
            with accelerator.accumulate(prepared):
                loss = functional.cross_entropy(prepared(inputs), labels)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    accelerator.save_state(str(tmp_path / "state"))
    expected = [number.detach().clone() for number in model.numbers.values()]
    with torch.no_grad():
        model.angles.zero_()
    accelerator.load_state(str(tmp_path / "state"))
    assert all(torch.equal(a, b) for a, b in zip(model.numbers.values(), expected, strict=True))
    check(accelerator.unwrap_model(prepared), before, tmp_path)


def test_sharded_safetensors(model, tmp_path):
    accelerate = pytest.importorskip("accelerate")
    with torch.no_grad():
        model.angles.add_(0.3)
    expected = model.eval()(INPUTS)
    accelerate.Accelerator(cpu=True).save_model(model, str(tmp_path), max_shard_size=100)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    with torch.no_grad():
        model.angles.zero_()
    accelerate.load_checkpoint_in_model(model, str(tmp_path))
    assert torch.equal(model(INPUTS), expected)


def test_lightning(model, before, tmp_path):
    lightning = pytest.importorskip("lightning")

    class Task(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, _):
            inputs, labels = batch
            return functional.cross_entropy(self.model(inputs), labels)

        def configure_optimizers(self):
            return adam(self.model)

    trainer = lightning.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    task = Task()
    trainer.fit(task, DataLoader(DATA, batch_size=4))
    expected = model.angles.detach().clone()
    trainer.save_checkpoint(tmp_path / "theirs.ckpt", weights_only=True)
    with torch.no_grad():
        model.angles.zero_()
    state = torch.load(tmp_path / "theirs.ckpt", weights_only=True)["state_dict"]
    task.load_state_dict(state)
    assert torch.equal(model.angles, expected)
    check(model, before, tmp_path)


def test_skorch(model, before, tmp_path):
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(
        model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=0.05, max_epochs=5,
        batch_size=4, train_split=None, verbose=0,
    )  # fmt: skip
    net.fit(INPUTS.numpy(), LABELS.numpy())
    net.save_params(f_params=tmp_path / "theirs.pt")
    predicted = net.predict_proba(INPUTS.numpy())
    with torch.no_grad():
        net.module_.angles.zero_()
    net.load_params(f_params=tmp_path / "theirs.pt")
    assert (net.predict_proba(INPUTS.numpy()) == predicted).all()
    check(net.module_, before, tmp_path)
