"""What QuantumTrain makes of a module: copies, states, devices, targets, frozen parts, refusals."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from modules import batch_norm_cnn, frozen_part, inputs_for, mlp, wrap


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
