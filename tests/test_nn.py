"""QuantumTrain: any torch module through the circuit, and back to a plain one."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

import qnnw
from modules import MODULES, inputs_for, mlp, wrap
from qnnw.data import networks
from qnnw.nn import compiled


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
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    shutil.which("g++") is None, reason="torch's inductor needs a C++ compiler"
                ),
            ],
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
