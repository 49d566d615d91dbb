"""EigenAdam: Adam where gradients are uncorrelated, far better where they are not."""

from __future__ import annotations

import copy

import pytest
import torch

from qnnw.optim.eigen_adam import EVERY, EigenAdam


def quadratic(size, condition, turned, seed=0):
    """f(x) = x^T A x / 2 and its noisy gradient; A diagonal, or turned at random."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.logspace(0, -condition, size, dtype=torch.float64)
    turn = torch.eye(size, dtype=torch.float64)
    if turned:
        turn = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
    matrix = turn @ torch.diag(values) @ turn.T
    noise = turn @ torch.diag(values.sqrt())  # as in a network, noisy where the loss is steep

    def gradient(point):
        drawn = torch.randn(size, generator=generator, dtype=torch.float64)
        return matrix @ point + 0.03 * noise @ drawn

    return matrix, gradient


def run(kind, turned, steps=1000, lr=0.02, dtype=torch.float64):
    matrix, gradient = quadratic(30, 3, turned)
    point = torch.nn.Parameter(torch.ones(30, dtype=dtype))
    optimizer = kind([point], lr=lr, betas=(0.9, 0.99))
    for step in range(steps):
        point.grad = gradient(point.detach().double()).to(dtype)
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.step()
    return float(point.detach().double() @ matrix @ point.detach().double())


def test_correlations_cost_it_little():
    """Turned coordinates spoil Adam, not Adam in the eigenbasis."""
    ours, theirs = run(EigenAdam, turned=True), run(torch.optim.Adam, turned=True)
    assert ours < 0.5 * theirs
    assert ours < 2 * run(torch.optim.Adam, turned=False)


def test_single_numbers_get_plain_adam():
    one, other = (torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64)) for _ in range(2))
    ours, theirs = EigenAdam([one], lr=0.1), torch.optim.Adam([other], lr=0.1, eps=1e-10)
    for step in range(120):
        for parameter, optimizer in ((one, ours), (other, theirs)):
            parameter.grad = parameter.detach() ** 3 + 0.1 * step
            optimizer.step()
    torch.testing.assert_close(one, other)


def test_the_first_steps_are_adams():
    """Until the basis is found it is the coordinates'."""
    one, other = (torch.nn.Parameter(torch.arange(5.0, dtype=torch.float64)) for _ in range(2))
    ours, theirs = EigenAdam([one], lr=0.1), torch.optim.Adam([other], lr=0.1, eps=1e-10)
    for _ in range(9):
        for parameter, optimizer in ((one, ours), (other, theirs)):
            parameter.grad = torch.sin(parameter.detach())
            optimizer.step()
    torch.testing.assert_close(one, other)


def test_the_basis_stays_orthogonal_and_diagonalises():
    _, gradient = quadratic(12, 2, turned=True)
    point = torch.nn.Parameter(torch.ones(12, dtype=torch.float64))
    optimizer = EigenAdam([point], lr=1e-3, basis_decay=0.999)
    for _ in range(20 * EVERY):
        point.grad = gradient(point.detach())
        optimizer.step()
    state = optimizer.state[point]
    basis, moment = state["basis"], state["second_moment"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(12, dtype=torch.float64))
    turned = basis.T @ moment @ basis
    off = turned - torch.diag(turned.diagonal())
    assert off.norm() < 0.1 * turned.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_goes_on_from_its_state(dtype):
    """A copied state takes the same steps, bit for bit."""
    _, gradient = quadratic(8, 2, turned=True)
    gradients = [gradient(torch.ones(8, dtype=torch.float64)).to(dtype) for _ in range(130)]
    point = torch.nn.Parameter(torch.ones(8, dtype=dtype))
    optimizer = EigenAdam([point], lr=0.01)
    for step, drawn in enumerate(gradients):
        if step == 60:
            other = torch.nn.Parameter(point.detach().clone())
            second = EigenAdam([other], lr=0.5)
            second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        point.grad = drawn
        optimizer.step()
        if step >= 60:
            other.grad = drawn
            second.step()
    assert torch.equal(point, other)
    assert optimizer.state[point]["basis"].dtype == dtype


def test_closures_and_shapes():
    point = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = EigenAdam([point], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = point.square().sum()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(60)]
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize(
    "changed", [{"lr": -1.0}, {"eps": float("inf")}, {"betas": (0.9, 1.0)}, {"basis_decay": -0.1}]
)
def test_wrong_settings_are_told(changed):
    with pytest.raises(ValueError, match=f"`{next(iter(changed))}`"):
        EigenAdam([torch.nn.Parameter(torch.ones(2))], **changed)
