"""EigenAdam as a torch optimiser: what it refuses, and what it takes as torch's Adam does."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

from qnnw.optim import EigenAdam


def steps(optimizer, parameters, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            parameter.grad = 2 * parameter.detach() + noise
        optimizer.step()


def parameter(*shape, dtype=torch.float32):
    return torch.nn.Parameter(torch.ones(shape, dtype=dtype))


def test_more_than_it_can_hold_is_refused_before_anything_is_allocated():
    huge = torch.nn.Parameter(torch.zeros(1).expand(10**9))
    with pytest.raises(ValueError, match=r"has 1000000000 entries.*torch\.optim\.Adam"):
        EigenAdam([huge])
    optimizer = EigenAdam([parameter(3)])
    with pytest.raises(ValueError, match=r"parameter 1 of group 1 has 8193 entries; .* most 8192"):
        optimizer.add_param_group({"params": [parameter(2), parameter(8193)]})
    assert len(optimizer.param_groups) == 1
    EigenAdam([parameter(8192)])


def test_complex_parameters_and_sparse_gradients_are_refused():
    with pytest.raises(TypeError, match="parameter 0 of group 0 is complex"):
        EigenAdam([parameter(3, dtype=torch.complex64)])
    one = parameter(3)
    one.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        EigenAdam([one]).step()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4)])
def test_a_saved_state_goes_on_with_the_same_bits(dtype, shape):
    one, other = parameter(*shape, dtype=dtype), parameter(2, dtype=dtype)
    groups = [{"params": [one]}, {"params": [other], "lr": 0.1}]
    optimizer = EigenAdam(groups, lr=np.float64(0.03), betas=(np.float64(0.9), 0.99))
    steps(optimizer, [one, other], 12)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twins = [copy.deepcopy(one), copy.deepcopy(other)]
    again = EigenAdam([{"params": [twins[0]]}, {"params": [twins[1]], "lr": 0.5}])
    again.load_state_dict(torch.load(file, weights_only=True))
    steps(optimizer, [one, other], 40, seed=1)
    steps(again, twins, 40, seed=1)
    assert torch.equal(one, twins[0])
    assert torch.equal(other, twins[1])
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [3, 9, 10, 45])
def test_what_is_not_finite_travels_on_as_in_adam(bad, at):
    one = parameter(5)
    optimizer = EigenAdam([one])
    steps(optimizer, [one], at)
    one.grad = torch.full((5,), bad)
    optimizer.step()
    steps(optimizer, [one], 60)
    assert not torch.isfinite(one).any()


def test_missing_gradients_closures_and_schedules():
    one, idle = parameter(4), parameter(4)
    optimizer = EigenAdam([one, idle], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=30)

    def closure():
        optimizer.zero_grad()
        loss = (one**2).sum()
        loss.backward()
        return loss

    losses = []
    for _ in range(30):
        losses.append(optimizer.step(closure).item())
        schedule.step()
    assert losses[-1] < 0.05 * losses[0]
    assert torch.equal(idle, torch.ones(4))
    assert idle not in optimizer.state
    twin = copy.deepcopy(optimizer)
    assert twin.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -1.0), ("lr", "1"), ("eps", np.nan), ("basis_decay", 1.0), ("betas", (0.9, 1.0))],
)
def test_settings_are_named(name, value):
    with pytest.raises((TypeError, ValueError), match=f"`{name}` is"):
        EigenAdam([parameter(2)], **{name: value})
