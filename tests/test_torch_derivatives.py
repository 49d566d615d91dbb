"""QuantumTrain's derivatives by torch's tools: of every order, both ways, sample by sample."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from modules import INPUTS, wrap
from qnnw.nn import QuantumTrain

# torch's own forward mode compiles some of its formulas so.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")


def loss_by(model):
    """The loss as a function of angles and gamma, and where these are."""

    def loss(angles, gamma):
        outputs = functional_call(model, {"angles": angles, "gamma": gamma}, (INPUTS,))
        return outputs.square().sum()

    return loss, model.angles.detach().clone(), model.gamma.detach().clone()


def test_first_and_second_derivatives_both_ways_are_those_of_differences():
    loss, angles, gamma = loss_by(wrap())
    arguments = (angles.requires_grad_(), gamma.requires_grad_())
    assert torch.autograd.gradcheck(loss, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, arguments)


def test_the_hessian_of_a_model_of_49_numbers():
    """By three ways, against central differences of the gradient."""
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    model = QuantumTrain(network, reps=2)
    assert model.num_trainable_parameters == 49
    loss, angles, gamma = loss_by(model)
    numbers = torch.cat([angles, gamma])

    def whole(numbers):
        return loss(numbers[:48], numbers[48:])

    step = 1e-5
    expected = torch.stack([
        (grad(whole)(numbers + step * unit) - grad(whole)(numbers - step * unit)) / (2 * step)
        for unit in torch.eye(49, dtype=torch.float64)
    ])  # fmt: skip
    for found in (
        hessian(whole)(numbers),
        jacrev(jacrev(whole))(numbers),
        torch.autograd.functional.hessian(whole, numbers),
    ):
        assert (found - expected).abs().max() <= 1e-5


def test_the_way_back_has_a_graph_for_those_who_ask():
    model = wrap()
    outputs = model(INPUTS).reshape(-1)
    numbers = [model.angles, model.gamma]
    cotangents = torch.eye(len(outputs), dtype=outputs.dtype)[:3]
    alone = torch.autograd.grad(outputs, numbers, cotangents[0], retain_graph=True)
    assert not any(gradient.requires_grad for gradient in alone)
    graph = torch.autograd.grad(
        outputs, numbers, cotangents[0], create_graph=True, retain_graph=True
    )
    assert all(gradient.requires_grad for gradient in graph)
    assert_close(alone, tuple(gradient.detach() for gradient in graph), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match=r"is_grads_batched.*torch\.func"):
        torch.autograd.grad(outputs, numbers, cotangents, is_grads_batched=True)


def test_gradients_are_no_memory_of_the_source():
    """A pullback may give the same arrays again: a step must not change them."""
    model = wrap()
    kept = {}
    forward = model.source.forward

    def remembering(parameters, draw=0):
        weights, pullback = forward(parameters, draw)

        def back(cotangent):
            kept.update(pullback(cotangent))
            return kept

        return weights, back

    object.__setattr__(model.source, "forward", remembering)
    model(INPUTS).square().sum().backward()
    before = {name: values.copy() for name, values in kept.items()}
    for number in (model.angles, model.gamma):
        number.grad.zero_()
    for name, values in kept.items():
        assert (values == before[name]).all(), name


def test_forward_derivatives_by_torch_func_and_by_dual_numbers():
    loss, angles, gamma = loss_by(wrap())
    along = (torch.ones_like(angles), torch.full_like(gamma, 0.5))
    step = 1e-6
    ahead, behind = (
        loss(*(place + sign * step * t for place, t in zip((angles, gamma), along, strict=True)))
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    _, found = jvp(loss, (angles, gamma), along)
    assert abs(found - expected) <= 1e-6 * abs(expected)
    with forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(place, t) for place, t in zip((angles, gamma), along, strict=True)
        ]
        assert abs(forward_ad.unpack_dual(loss(*duals)).tangent - expected) < 1e-6 * abs(expected)


def test_jacobians_both_ways_agree():
    model = wrap()

    def outputs(angles, gamma):
        return functional_call(model, {"angles": angles, "gamma": gamma}, (INPUTS,))

    _, *numbers = loss_by(model)
    for back, forward in zip(
        jacrev(outputs, (0, 1))(*numbers), jacfwd(outputs, (0, 1))(*numbers), strict=True
    ):
        assert_close(back, forward, rtol=1e-10, atol=1e-12)


def test_third_derivatives_are_refused():
    loss, angles, gamma = loss_by(wrap(nn.Linear(4, 1).double(), reps=0))
    with pytest.raises(RuntimeError, match="a third derivative"):
        jacrev(jacrev(jacrev(lambda angles: loss(angles, gamma))))(angles[:])


def test_measured_weights_have_no_forward_derivative():
    loss, angles, gamma = loss_by(wrap(shots=100))
    with pytest.raises(ValueError, match="`shots` is 100"):
        jvp(lambda angles: loss(angles, gamma), (angles,), (torch.ones_like(angles),))


def test_gradients_sample_by_sample():
    model = wrap()
    numbers = {name: number.detach() for name, number in model.named_parameters()}

    def loss(numbers, sample):
        return functional_call(model, numbers, (sample[None],)).square().sum()

    found = vmap(grad(loss), (None, 0))(numbers, INPUTS)
    for number, sample in enumerate(INPUTS):
        model.zero_grad()
        model(sample[None]).square().sum().backward()
        assert_close(found["angles"][number], model.angles.grad)


def ensemble(models):
    parameters, buffers = torch.func.stack_module_state(models)
    base = copy.deepcopy(models[0])
    call = lambda p, b: functional_call(base, (p, b), (INPUTS,))  # noqa: E731
    return vmap(call)(parameters, buffers)


def test_an_ensemble_of_one_circuit_is_right_and_of_several_refused():
    models = [wrap().eval() for _ in range(3)]
    for number, model in enumerate(models):
        model.angles.data.add_(0.1 * number)
    for found, model in zip(ensemble(models), models, strict=True):
        assert_close(found, model(INPUTS))
    with pytest.raises(ValueError, match="different circuits or maps"):
        ensemble([wrap(seed=seed).eval() for seed in range(3)])


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.reentrant = reentrant

    def block(self, inputs):
        return torch.tanh(self.second(torch.tanh(self.first(inputs))))

    def forward(self, inputs):
        if self.reentrant is None:
            return self.block(inputs)
        return checkpoint(self.block, inputs, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("shots", [None, 50])
@pytest.mark.parametrize("targets", [None, "*.bias"])
def test_activation_checkpoints_give_the_same_gradient(reentrant, shots, targets):
    gradients = []
    for kind in (None, reentrant):
        torch.manual_seed(0)
        model = wrap(Checkpointed(kind).double(), shots=shots, target_parameters=targets)
        model(INPUTS.clone().requires_grad_()).square().sum().backward()
        gradients.append(model.angles.grad)
    assert_close(*gradients, rtol=1e-10, atol=1e-12)
    assert gradients[0].abs().sum() > 0


def test_an_overflow_reaches_the_gradient_scaler():
    model = wrap(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = model.angles.detach().clone()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = model(50 * torch.ones(5, 4)).float().square().sum()
    scaler.scale(loss).backward()
    assert not model.angles.grad.isfinite().any()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() < 2.0**40
    assert torch.equal(model.angles, before)


def test_gradients_of_several_passes_add_up():
    once, twice = wrap(), wrap()
    for _ in range(2):
        twice(INPUTS).square().sum().backward()
    (2 * once(INPUTS).square().sum()).backward()
    assert_close(twice.angles.grad, once.angles.grad)
    model = wrap()
    loss = model(INPUTS).square().sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert_close(model.angles.grad, once.angles.grad)


def test_lbfgs_finds_its_way():
    model = wrap()
    optimizer = torch.optim.LBFGS(model.parameters())

    def closure():
        optimizer.zero_grad()
        loss = (model(INPUTS) - INPUTS[:, :3]).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert closure() < 0.5 * first
