"""QuantumTrain: any torch module through the circuit, and back to a plain one."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import qnnw
from qnnw.data import networks
from qnnw.nn import QuantumTrain, compiled


def mlp(dtype=torch.float32):
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def wrap(module, **changed):
    return QuantumTrain(module, **{"reps": 2, "mapping": "centered", **changed})


class Tied(nn.Module):
    """A small language model whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.output = nn.Linear(5, 11, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.embedding(tokens).mean(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 2)

    def forward(self, sequence):
        return self.head(self.lstm(sequence)[0][:, -1])


def batch_norm_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


def frozen_part():
    module = mlp()
    module[0].weight.requires_grad_(False)
    return module


def inputs_for(name):
    generator = torch.Generator().manual_seed(3)
    shape = {"cnn": (16, 1, 8, 8), "lstm": (16, 7, 3)}.get(name, (16, 4))
    if name == "tied":
        return torch.randint(0, 11, (16, 3), generator=generator)
    dtype = {"double": torch.float64, "bf16": torch.bfloat16}.get(name, torch.float32)
    return torch.randn(shape, generator=generator).to(dtype)


MODULES = {
    "mlp": mlp,
    "double": lambda: mlp(torch.float64),
    "bf16": lambda: mlp(torch.bfloat16),
    "cnn": batch_norm_cnn,
    "lstm": Lstm,
    "tied": Tied,
    "frozen": frozen_part,
}


@pytest.mark.parametrize("name", MODULES)
def test_trains_and_merges(name):
    """The loss falls, buffers move, and the merged module gives the same bits."""
    model = wrap(MODULES[name](), mapping="centered", scale="fan_in", gamma=1.0)
    inputs = inputs_for(name)
    labels = torch.arange(16) % 2
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs).float(), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    model.eval()
    plain = model.merge_and_unload()
    with torch.no_grad():
        assert torch.equal(plain(inputs), model(inputs))
    assert not any("qnnw" in type(module).__module__ for module in plain.modules())
    state = plain.state_dict()
    again = MODULES[name]()
    again.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(again.eval()(inputs), plain(inputs))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            assert torch.equal(other(inputs), plain(inputs))
    if name == "cnn":
        assert plain[1].num_batches_tracked == 60
    if name == "tied":
        assert plain.output.weight is plain.embedding.weight


def test_the_head_of_a_resnet_trains():
    """torchvision's ResNet-18 frozen, its last layer made by the circuit."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=4).eval().requires_grad_(False)
    images = torch.randn(24, 3, 32, 32)
    labels = torch.arange(24) % 4
    model = wrap(network, target_parameters="fc.*", scale="fan_in", gamma=1.2, reps=6)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"angles", "gamma"}
    assert model.generator.num_weights == 4 * 512 + 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
    plain = model.merge_and_unload()
    with torch.no_grad():
        assert torch.equal(plain(images), model(images))
    assert torch.equal(plain.conv1.weight, network.conv1.weight)


def test_only_angles_and_gamma_train():
    model = wrap(networks.mnist(), reps=26)
    assert [name for name, _ in model.named_parameters()] == ["angles", "gamma"]
    assert model.num_trainable_parameters == 703
    assert model.num_all_parameters == 6690
    assert model.angles.dtype == torch.float32
    assert not list(model.module.parameters())


def test_prints_pefts_line(capsys):
    wrap(networks.mnist(), reps=26).print_trainable_parameters()
    line = "trainable params: 703 || all params: 6,690 || trainable%: 10.5082\n"
    assert capsys.readouterr().out == line


def test_the_weights_are_those_of_generate_weights():
    for mapping, signs in (("paper", "parity"), ("centered", "random")):
        module = mlp(torch.float64)
        model = wrap(module, mapping=mapping, signs=signs, scale="none", seed=5, gamma=0.4)
        weight_map = qnnw.WeightMap(51, seed=5, signs=signs, mapping=mapping)
        ansatz = qnnw.EfficientSU2(6, 2)
        expected = qnnw.generate_weights(ansatz, ansatz.random_angles(5), weight_map, 0.4)
        made = torch.cat([weight.reshape(-1) for weight in model.weights().values()])
        assert np.array_equal(made.detach().numpy(), expected)


def test_fan_in_scales_as_he_et_al():
    module = networks.mnist().double()
    plain = wrap(module, scale="none").weights()
    scaled = wrap(module, scale="fan_in").weights()
    fan_in = {"conv1": 25, "conv2": 200, "fc1": 192, "fc2": 20}
    for name in plain:
        factor = np.sqrt(2 / fan_in[name.split(".")[0]])
        assert_close(scaled[name], plain[name] * factor, rtol=1e-15, atol=0.0)


def test_gradients_are_those_of_finite_differences():
    model = wrap(mlp(torch.float64), scale="fan_in")
    inputs = inputs_for("double")

    def outputs(angles, gamma):
        with torch.no_grad():
            saved = model.angles.data, model.gamma.data
        named = {"angles": angles, "gamma": gamma}
        result = torch.func.functional_call(model, named, (inputs,))
        model.angles.data, model.gamma.data = saved
        return result

    angles = model.angles.detach().clone().requires_grad_()
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (angles, gamma))
    negative = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (angles, negative))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_the_operator_keeps_torchs_rules(dtype):
    model = wrap(mlp(dtype))
    draw = torch.zeros((), dtype=torch.int64)
    for requires_grad in (True, False):
        angles = model.angles.detach().clone().requires_grad_(requires_grad)
        gamma = model.gamma.detach().clone().requires_grad_(requires_grad)
        numbers = torch.cat([angles.double(), gamma.double()])
        arguments = (numbers, draw, compiled.described(model.source))
        torch.library.opcheck(compiled.make_weights, arguments)


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=pytest.mark.skipif(
                shutil.which("g++") is None, reason="torch's inductor needs a C++ compiler"
            ),
        ),
    ],
)
def test_compiles_into_one_graph(backend):
    model = wrap(mlp())
    inputs = inputs_for("mlp")
    expected = model(inputs)
    found = torch.compile(model, fullgraph=True, backend=backend)(inputs)
    assert_close(found, expected)
    expected.sum().backward()
    gradients = model.angles.grad.clone(), model.gamma.grad.clone()
    model.zero_grad()
    found.sum().backward()
    assert_close((model.angles.grad, model.gamma.grad), gradients)


def test_a_merged_module_exports():
    plain = wrap(mlp()).eval().merge_and_unload()
    inputs = inputs_for("mlp")
    program = torch.export.export(plain, (inputs,))
    assert torch.equal(program.module()(inputs), plain(inputs))


def count_evolutions(monkeypatch):
    calls = []
    from qnnw.weights import circuit as generator

    for name in ("generate_weights", "generate_weights_with_vjp"):
        real = getattr(generator, name)

        def counted(*arguments, real=real, name=name, **named):
            calls.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(generator, name, counted)
    return calls


def test_a_step_evolves_the_circuit_once(monkeypatch):
    calls = count_evolutions(monkeypatch)
    model = wrap(mlp())
    inputs = inputs_for("mlp")
    for _ in range(3):  # micro-batches
        model(inputs).sum().backward()
    with torch.no_grad():
        model(inputs)
    assert calls == ["generate_weights_with_vjp"]
    with torch.no_grad():
        model.angles.add_(0.1)
        model(inputs)
        model(inputs)
    assert calls[1:] == ["generate_weights"]


@pytest.mark.parametrize("shots", [None, 64])
def test_accumulate_sums_micro_batches(shots):
    inputs = inputs_for("double").split(4)
    one, other = (wrap(mlp(torch.float64), shots=shots) for _ in range(2))
    with one.accumulate():
        for part in inputs:
            one(part).square().sum().backward()
            assert one.angles.grad is None
    if shots is None:
        for part in inputs:
            other(part).square().sum().backward()
    else:
        sum(other(part).square().sum() for part in [torch.cat(inputs)]).backward()
    assert_close(one.angles.grad, other.angles.grad)
    assert_close(one.gamma.grad, other.gamma.grad)


def test_an_exception_inside_accumulate_leaves_gradients_alone():
    model = wrap(mlp())

    def fail():
        with model.accumulate():
            model(inputs_for("mlp")).sum().backward()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert model.angles.grad is None
    model(inputs_for("mlp")).sum().backward()
    assert model.angles.grad is not None


def test_two_sets_of_angles_may_wait_for_their_gradients():
    """A second forward call before the first backward call: both gradients stay right."""
    first, second = wrap(mlp(torch.float64)), wrap(mlp(torch.float64))
    inputs = inputs_for("double")
    early = first(inputs).sum()
    saved = first.angles.detach().clone()
    moved = torch.func.functional_call(first, {"angles": saved + 0.3}, (inputs,)).sum()
    (early + moved).backward()
    second(inputs).sum().backward()
    assert_close(first.angles.grad, second.angles.grad, rtol=1e-12, atol=1e-14)


def test_shots_are_drawn_afresh_in_training_and_stand_in_evaluation():
    model = wrap(mlp(), shots=100, seed=1)
    inputs = inputs_for("mlp")
    first, second = model(inputs), model(inputs)
    assert not torch.equal(first, second)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(inputs), model(inputs))
        assert torch.equal(model.merge_and_unload()(inputs), model(inputs))
    again = wrap(mlp(), shots=100, seed=1)
    assert torch.equal(again(inputs), first)
    second.sum().backward()
    assert model.angles.grad.abs().sum() > 0


def test_two_measurements_may_wait_for_their_gradients():
    inputs = inputs_for("double")
    together, apart = (wrap(mlp(torch.float64), shots=100) for _ in range(2))
    (together(inputs).sum() + together(inputs).square().sum()).backward()
    apart(inputs).sum().backward()
    apart(inputs).square().sum().backward()
    assert_close(together.angles.grad, apart.angles.grad)
    assert_close(together.gamma.grad, apart.gamma.grad)


def test_with_many_shots_the_gradient_nears_the_exact_one():
    inputs = inputs_for("double")
    exact = wrap(mlp(torch.float64))
    measured = wrap(mlp(torch.float64), shots=2**40)
    for model in (exact, measured):
        model(inputs).square().sum().backward()
    scale = exact.angles.grad.abs().max()
    assert (measured.angles.grad - exact.angles.grad).abs().max() < 1e-4 * scale


def test_copies_and_pickles_stand_alone():
    model = wrap(batch_norm_cnn(), seed=2)
    inputs = inputs_for("cnn")
    expected = model.eval()(inputs)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.source is not model.source
        assert other.module[0].weight is not model.module[0].weight
        assert torch.equal(other(inputs), expected)
        with torch.no_grad():
            other.angles.add_(1.0)
        assert not torch.equal(other(inputs), expected)
        assert torch.equal(model(inputs), expected)


def test_states_load_strictly():
    model, other = wrap(batch_norm_cnn()), wrap(batch_norm_cnn())
    with torch.no_grad():
        model.angles.add_(0.5)
    model.train()(inputs_for("cnn"))
    other.load_state_dict(model.state_dict(), strict=True)
    inputs = inputs_for("cnn")
    assert torch.equal(other.eval()(inputs), model.eval()(inputs))


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"signs": "random"}, {"mapping": "paper"}, {"scale": "none"}]
)
def test_the_state_of_another_map_is_refused(changed):
    model, other = wrap(mlp()), wrap(mlp(), **changed)
    before = other.angles.detach().clone()
    with pytest.raises(ValueError, match="another circuit or map"):
        other.load_state_dict(model.state_dict())
    assert torch.equal(other.angles, before)


def test_moving_keeps_the_precision_of_the_angles():
    model = wrap(mlp()).to(torch.bfloat16)
    assert model.angles.dtype == model.gamma.dtype == torch.float32
    assert model(inputs_for("bf16")).dtype == torch.bfloat16
    assert model.merge_and_unload()[0].weight.dtype == torch.bfloat16
    model = wrap(mlp()).double()
    assert model(inputs_for("double")).dtype == torch.float64


def test_the_meta_device_shows_where_weights_go():
    model = wrap(mlp())
    model.module.to("meta")
    assert {target.device.type for target in model.targets} == {"meta"}
    assert model(inputs_for("mlp").to("meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("0.*", {"0.weight", "0.bias"}),
        (["2.weight"], {"2.weight"}),
        (["*.bias"], {"0.bias", "2.bias"}),
        (None, {"0.weight", "0.bias", "2.weight", "2.bias"}),
    ],
)
def test_targets_are_chosen_by_pattern(patterns, names):
    module = mlp()
    model = wrap(module, target_parameters=patterns)
    assert {target.name for target in model.targets} == names
    left = {name for name, _ in model.named_parameters()} - {"angles", "gamma"}
    assert {name.removeprefix("module.") for name in left} == set(
        dict(module.named_parameters())
    ) - names
    with torch.no_grad():
        state = model.merge_and_unload().state_dict()
    for name in set(state) - names:
        assert torch.equal(state[name], module.state_dict()[name])


def test_frozen_parameters_stay():
    module = frozen_part()
    model = wrap(module)
    assert torch.equal(model.merge_and_unload()[0].weight, module[0].weight)
    assert not model.merge_and_unload()[0].weight.requires_grad


def test_the_module_itself_is_wrapped_or_a_copy():
    module = mlp()
    state = copy.deepcopy(module.state_dict())
    wrap(module, copy=True)(inputs_for("mlp")).sum().backward()
    assert all(torch.equal(module.state_dict()[name], state[name]) for name in state)
    assert torch.equal(wrap(module).angles, wrap(module).angles)
    assert all(torch.equal(module.state_dict()[name], state[name]) for name in state)
    model = wrap(module, copy=False)
    assert model.module is module
    assert not module.state_dict()
    with pytest.raises(ValueError, match="'0', which is wrapped by a QuantumTrain already"):
        wrap(module)


def test_frozen_parameters_are_shared_and_the_others_copied():
    module = batch_norm_cnn()
    module[0].weight.requires_grad_(False)
    model = wrap(module, target_parameters="5.*")
    assert model.module[0].weight.data_ptr() == module[0].weight.data_ptr()
    assert model.module[0].bias.data_ptr() != module[0].bias.data_ptr()
    model.train()(inputs_for("cnn")).sum().backward()
    assert module[1].num_batches_tracked == 0
    model.double()
    assert module[0].weight.dtype == torch.float32
    whole = wrap(module, target_parameters="5.*", copy=True)
    assert whole.module[0].weight.data_ptr() != module[0].weight.data_ptr()


class Parameters(nn.Module):
    """A module of one parameter."""

    def __init__(self, parameter):
        super().__init__()
        self.odd = parameter


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: wrap("net"), TypeError, "`module` is of type str"),
        (lambda: wrap(torch.jit.script(mlp())), TypeError, "ScriptModule"),
        (lambda: wrap(wrap(mlp())), TypeError, "QuantumTrain already"),
        (lambda: wrap(nn.ReLU()), ValueError, "no parameter for the circuit"),
        (lambda: wrap(mlp(), target_parameters="3.*"), ValueError, r"'3\.\*', which fits no"),
        (lambda: wrap(nn.LazyLinear(3)), ValueError, "lazy parameter 'weight'"),
        (
            lambda: wrap(Parameters(nn.Parameter(torch.zeros(2, dtype=torch.complex64)))),
            ValueError,
            "'odd' of torch.complex64",
        ),
        (
            lambda: wrap(Parameters(nn.Parameter(torch.zeros(0)))),
            ValueError,
            "empty parameter 'odd'",
        ),
        (lambda: wrap(mlp().to("meta")), ValueError, "'0.weight' on the meta device"),
        (lambda: wrap(mlp(), gamma=0.0), ValueError, "`gamma` is 0.0"),
        (lambda: wrap(mlp(), gamma=float("nan")), ValueError, "`gamma` is nan"),
        (lambda: wrap(mlp(), scale="big"), ValueError, "`scale` is 'big'"),
        (lambda: wrap(mlp(), mapping="other"), ValueError, "`mapping`"),
        (lambda: wrap(mlp(), signs="other"), ValueError, "`signs`"),
        (lambda: wrap(mlp(), reps=-1), ValueError, "`reps`"),
        (lambda: wrap(mlp(), shots=0), ValueError, "`shots` is 0"),
        (lambda: wrap(mlp(), entanglement="star"), ValueError, "`entanglement`"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_what_cannot_be_made_is_refused_by_name(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_angles_that_are_not_finite_are_refused():
    model = wrap(mlp())
    with torch.no_grad():
        model.angles[3] = float("nan")
    with pytest.raises(ValueError, match="`angles` has NaN"):
        model(inputs_for("mlp"))
