"""QuantumTrain among torch's own tools: weights at hand, threads, layers, copies, exports."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import threading
import time

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, prune
from torch.testing import assert_close

from modules import INPUTS, mlp, wrap
from qnnw.nn import QuantumTrain


def test_a_made_weight_is_that_of_the_present_numbers():
    model = wrap()
    first = model.module[0].weight
    assert first is model.module[0].weight
    assert first.grad_fn is not None
    assert torch.equal(first, model.merge_and_unload()[0].weight)
    for change in (
        lambda: model.angles.data.add_(0.1),
        lambda: setattr(model.angles, "data", model.angles.data + 0.1),
        lambda: model.gamma.detach().mul_(1.5),
        lambda: model.load_state_dict(wrap().state_dict()),
    ):
        before = model.module[0].weight.detach().clone()
        change()
        assert not torch.equal(model.module[0].weight, before)
        assert torch.equal(model.module[0].weight, model.merge_and_unload()[0].weight)
        assert torch.equal(model(INPUTS), model.merge_and_unload()(INPUTS))


def test_a_setting_that_is_changed_counts_at_once():
    model = wrap(shots=100)
    model(INPUTS).sum().backward()
    model.eval()
    measured = model.module[0].weight.detach().clone()
    model.source.shots = None
    exact = wrap().eval()
    exact.load_state_dict(model.state_dict())
    assert torch.equal(model.module[0].weight, exact.module[0].weight)
    assert not torch.equal(model.module[0].weight, measured)


def test_an_evaluation_with_the_same_numbers_makes_nothing():
    model = wrap()
    model(INPUTS).sum().backward()
    with torch.no_grad():
        model(INPUTS)
        made = model.module[0].weight
        model(INPUTS)
        assert model.module[0].weight is made
        assert made.data_ptr() == model.weights()["0.weight"].data_ptr()
        assert not made.requires_grad


class Slow(nn.Linear):
    def forward(self, inputs):
        time.sleep(0.02)
        return super().forward(inputs)


@pytest.mark.parametrize("targets", [None, "*.bias"])
def test_threads_see_the_same_weights(targets):
    torch.manual_seed(0)
    network = nn.Sequential(*[Slow(4, 4) for _ in range(3)]).double()
    model = wrap(network, target_parameters=targets).eval()
    with torch.no_grad():
        expected = model(INPUTS)
    found, state = [], set(model.state_dict())

    def work(delay):
        time.sleep(delay)
        with torch.no_grad():
            found.append(torch.equal(model(INPUTS), expected))

    threads = [threading.Thread(target=work, args=(0.01 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert set(model.state_dict()) == state
    assert found == [True] * 4


class Projecting(nn.Linear):
    def __init__(self, how):
        super().__init__(4, 3)
        self.how = how

    def forward(self, inputs):
        self.how(self)
        return super().forward(inputs)


def clamp_without_gradients(layer):
    with torch.no_grad():
        layer.weight.clamp_(-0.01, 0.01)


WAYS = {
    "set data": lambda layer: setattr(layer.weight, "data", layer.weight.data * 0.5),
    "change data": lambda layer: layer.weight.data.clamp_(-0.01, 0.01),
    "set parameter": lambda layer: setattr(layer, "weight", nn.Parameter(torch.zeros(3, 4))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_that_changes_its_weight_is_refused_by_name(way):
    model = wrap(nn.Sequential(Projecting(WAYS[way])))
    with pytest.raises(RuntimeError, match=r"changed its weight '0.weight'"):
        model(torch.ones(2, 4))


def test_a_layer_that_assigns_or_clamps_its_weight_is_refused():
    model = wrap(
        nn.Sequential(Projecting(lambda layer: setattr(layer, "weight", layer.weight * 2)))
    )
    with pytest.raises(TypeError, match="'weight'"):
        model(torch.ones(2, 4))
    model = wrap(nn.Sequential(Projecting(clamp_without_gradients)))
    with pytest.raises(RuntimeError, match=r"inplace|in-place"):
        model(torch.ones(2, 4))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"changed its weight '0.weight'"):
        model(torch.ones(2, 4))


@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings(layer):
    with pytest.raises(ValueError, match=r"'0\.weight' of an embedding with max_norm"):
        wrap(nn.Sequential(layer(6, 2, max_norm=1.0)))
    sparse, dense = (
        wrap(nn.Sequential(layer(6, 2, sparse=kind), nn.Flatten()).double())
        for kind in (True, False)
    )
    tokens = torch.tensor([[1, 2, 0], [3, 0, 0]])
    for model in (sparse, dense):
        model(tokens).square().sum().backward()
    assert_close(sparse.angles.grad, dense.angles.grad)


@pytest.mark.parametrize("row", [0.0, 0.75])
def test_the_padding_row_stays_and_gradients_are_exact(tmp_path, row):
    def network():
        made = nn.Sequential(nn.Embedding(6, 2, padding_idx=2), nn.Flatten(), nn.Linear(6, 1))
        made[0].weight.data[2] = row
        return made.double()

    model = wrap(network())
    tokens = torch.tensor([[1, 2, 0], [3, 2, 2]])
    loss = lambda angles: functional_call(model, {"angles": angles}, (tokens,)).sum()  # noqa: E731
    assert torch.autograd.gradcheck(loss, (model.angles.detach().requires_grad_(),))
    assert (model.module[0].weight[2] == row).all()
    model.save_pretrained(tmp_path)
    again = QuantumTrain.from_pretrained(network(), tmp_path)
    for plain in (model.merge_and_unload(), copy.deepcopy(model), again):
        assert torch.equal(plain(tokens), model(tokens))


class Keeps(nn.Module):
    """Holds tensors of its last call, plain and in a container."""

    def __init__(self):
        super().__init__()
        self.layer, self.last, self.all = nn.Linear(4, 3), None, []

    def forward(self, inputs):
        self.last = self.layer(inputs)
        self.all.append({"outputs": self.last * 2})
        return self.last


def pruned():
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return layer


NETWORKS = {
    "keeps": Keeps,
    "pruned": pruned,
    "weight_norm, hooks": lambda: nn.utils.weight_norm(nn.Linear(4, 3)),
    "spectral_norm, hooks": lambda: nn.utils.spectral_norm(nn.Linear(4, 3)),
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 3)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(4, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_networks_that_keep_tensors_are_wrapped_copied_merged_and_saved(tmp_path, name):
    torch.manual_seed(0)
    network = nn.Sequential(NETWORKS[name](), nn.Linear(3, 2))
    inputs = INPUTS.float()
    model = wrap(network)
    model(inputs).square().sum().backward()
    assert model.angles.grad.isfinite().all()
    assert model.angles.grad.abs().sum() > 0
    model.eval()
    expected = model(inputs)
    assert torch.equal(model.merge_and_unload()(inputs), expected)
    if not hasattr(network[0], "parametrizations"):
        assert torch.equal(copy.deepcopy(model)(inputs), expected)
    torch.manual_seed(0)
    model.save_pretrained(tmp_path)
    again = QuantumTrain.from_pretrained(nn.Sequential(NETWORKS[name](), nn.Linear(3, 2)), tmp_path)
    assert torch.equal(again.eval()(inputs), expected)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_networks_copy_and_pickle_with_their_made_weights(kind):
    model = wrap(kind(3, 5, num_layers=2, batch_first=True, bidirectional=True))
    sequence = torch.linspace(-1, 1, 42).view(2, 7, 3)
    model(sequence)[0].sum().backward()
    assert model.angles.grad.abs().sum() > 0
    expected = model.eval()(sequence)[0]
    for other in (
        model.merge_and_unload(), copy.deepcopy(model), copy.deepcopy(model.module),
        pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model.module)),
    ):  # fmt: skip
        assert torch.equal(other(sequence)[0], expected)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 4)
        self.right = self.left

    def forward(self, inputs):
        return self.right(self.left(inputs))


def test_a_module_under_two_names_is_one(tmp_path):
    model = wrap(Siamese())
    before = set(model.state_dict())
    model(torch.ones(2, 4)).sum().backward()
    assert set(model.state_dict()) == before
    wrap(Siamese()).load_state_dict(model.state_dict())
    torch.optim.Adam(model.parameters())
    plain = model.merge_and_unload()
    assert plain.left is plain.right
    model.save_pretrained(tmp_path)
    again = QuantumTrain.from_pretrained(Siamese(), tmp_path)
    assert torch.equal(again(torch.ones(2, 4)), plain(torch.ones(2, 4)))


class Experts(nn.Module):
    """A mixture whose second expert is never asked."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(4, 3) for _ in range(2))

    def forward(self, inputs, *, scale=1.0):
        return scale * self.experts[0](inputs)

    def encode(self, inputs):
        return self.experts[1](inputs)


def test_unused_parts_other_methods_and_the_signature():
    model = wrap(Experts())
    model(torch.ones(2, 4)).sum().backward()
    assert model.angles.grad.isfinite().all()
    assert str(inspect.signature(model.forward)) == "(inputs, *, scale=1.0)"
    plain = model.merge_and_unload()
    for owner in (model, model.module):
        assert torch.equal(owner.encode(torch.ones(2, 4)), plain.encode(torch.ones(2, 4)))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert inspect.signature(other.forward) == inspect.signature(model.forward)
        assert torch.equal(other.encode(torch.ones(2, 4)), plain.encode(torch.ones(2, 4)))
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.nothing


def test_forward_hooks_see_the_weights():
    model, seen = wrap(), []
    model.module[0].register_forward_hook(lambda layer, *_: seen.append(layer.weight))
    model(INPUTS)
    assert seen[0] is model.module[0].weight


def test_scales_of_normalisation_layers_stay_and_trainable_chooses_the_rest():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3)
    )
    model = wrap(network)
    kept = {"module.1.weight", "module.3.weight"}
    assert kept <= set(dict(model.named_parameters()))
    assert (model.module[1].weight == 1).all()
    assert all(parameter.requires_grad for parameter in model.parameters())
    model = wrap(network, target_parameters="4.*", trainable="0.*")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"angles", "gamma", "module.0.weight", "module.0.bias"}
    with pytest.raises(ValueError, match="`trainable` has '9', which fits no"):
        wrap(mlp(torch.float64), target_parameters="0.*", trainable="9")


def test_inference_mode_leaves_nothing_behind():
    model = wrap()
    with torch.inference_mode():
        first = model(INPUTS)
    outputs = model(INPUTS)
    outputs.sum().backward()
    assert torch.equal(first, outputs)
    model = wrap(target_parameters="0.*")
    model.angles.requires_grad_(False)
    model.gamma.requires_grad_(False)
    with torch.inference_mode():
        model(INPUTS)
    model(INPUTS).sum().backward()
    assert model.module[2].weight.grad is not None


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")
def test_an_exported_model_carries_its_source(tmp_path, strict):
    model = wrap(seed=3).eval()
    program = torch.export.export(model, (INPUTS,), strict=strict)
    torch.export.save(program, tmp_path / "model.pt2")
    wrap(seed=5)
    again = torch.export.load(tmp_path / "model.pt2").module()
    assert_close(again(INPUTS), model(INPUTS))


def test_a_compiled_model_follows_its_settings_and_draws():
    model = wrap(shots=100)
    compiled = torch.compile(model, backend="aot_eager")
    first, second = compiled(INPUTS), compiled(INPUTS)
    assert not torch.equal(first, second)
    assert int(model.draws) == 2
    model.eval()
    model.source.shots = None
    assert_close(compiled(INPUTS), model(INPUTS))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("use_buffers", [True, False])
def test_averaged_models_and_states(use_buffers):
    model = wrap()
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for _ in range(3):
        model.angles.data.add_(0.1)
        averaged.update_parameters(model)
    assert averaged(INPUTS).isfinite().all()
    first, second = wrap().state_dict(), model.state_dict()
    mean = {name: (first[name].double() + second[name].double()) / 2 for name in first}
    model.load_state_dict(mean)
    assert_close(model.angles.detach(), mean["angles"])
    other = {**mean, "_extra_state": mean["_extra_state"] + 1}
    with pytest.raises(ValueError, match="another circuit or map"):
        model.load_state_dict(other)


def test_the_memory_format_reaches_made_kernels():
    def network():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(36, 3)
        )

    images = torch.linspace(-1, 1, 2 * 144).view(2, 1, 12, 12)
    usual, last = wrap(network()), wrap(network()).to(memory_format=torch.channels_last)
    for model in (usual, last):
        model(images).square().sum().backward()
    assert last.module[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert last.module[0](images).is_contiguous(memory_format=torch.channels_last)
    assert not usual.module[0](images).is_contiguous(memory_format=torch.channels_last)
    assert_close(last.angles.grad, usual.angles.grad, rtol=1e-4, atol=1e-5)
    assert torch.equal(last.merge_and_unload()(images), last(images))


def test_a_whole_model_is_saved_by_torch_and_told_by_its_repr():
    model, content = wrap(), io.BytesIO()
    torch.save(model, content)
    content.seek(0)
    assert torch.equal(torch.load(content, weights_only=False)(INPUTS), model(INPUTS))
    assert "51 weights from 36 angles" in repr(model)
    assert "made: 0.weight, 0.bias, 2.weight, 2.bias" in repr(model)
