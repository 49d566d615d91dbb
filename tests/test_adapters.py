"""Changes of a pretrained network: the same bits at the start, files of a few kB, several names."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from qnnw.nn import Circuits, LargeCircuitWarning, QuantumTrain
from qnnw.nn.pretrained import load_recipe, save_recipe
from qnnw.nn.tensorfile import ModelFileError
from qnnw.weights.subspaces import SubspaceSource

INPUTS = torch.linspace(-1, 1, 20).view(5, 4)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3), nn.Linear(3, 2)
    )


def kept(module=None, source=None, **changed):
    settings = {"base": "keep", "reps": 2, "trainable": "4.*", "target_parameters": ["0.*", "3.*"]}
    return QuantumTrain(module or network(), source, **{**settings, **changed})


def trained(model, steps=3, seed=1):
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        (model(INPUTS) - torch.randn(5, 2)).square().sum().backward()
        optimizer.step()
    return model.eval()


def bits(tensor):
    return tensor.detach().contiguous().view(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("circuits", [None, 3, "tensor"])
def test_at_the_start_it_is_the_network_bit_for_bit(dtype, circuits):
    module = network().to(dtype)
    with torch.no_grad():
        module[0].weight[0] = -0.0
        module[3].bias.zero_()
    model = kept(module, circuits=circuits, dtype="float32")
    for name, made in model.weights().items():
        assert torch.equal(bits(made), bits(module.get_parameter(name))), name
    inputs = INPUTS.to(dtype)
    assert torch.equal(bits(model.eval()(inputs)), bits(module.eval()(inputs)))


def test_a_network_with_channels_last_tied_and_padded_weights_starts_as_it_is():
    embedding = nn.Embedding(7, 4, padding_idx=2)
    nn.init.normal_(embedding.weight)
    tied = nn.Linear(4, 7, bias=False)
    tied.weight = embedding.weight
    module = nn.Sequential(embedding, tied)
    model = QuantumTrain(module, base="keep", reps=1)
    tokens = torch.tensor([[0, 2, 6]])
    assert torch.equal(model(tokens), module(tokens))
    convolution = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    model = QuantumTrain(convolution, base="keep", reps=1)
    images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    assert torch.equal(model(images), convolution(images))


def test_its_gradient_is_that_of_differences():
    module = network().double()
    model = kept(module, scale=0.5, trainable=None)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["angles", "gamma"]
    model.eval()
    inputs = INPUTS.double()

    def loss(angles, gamma):
        given = {"angles": angles, "gamma": gamma}
        return torch.func.functional_call(model, given, (inputs,)).square().sum()

    arguments = [number.detach().clone().requires_grad_() for number in model.numbers.values()]
    assert torch.autograd.gradcheck(loss, arguments)


def test_the_scale_is_the_spread_of_each_tensors_own_values():
    module = network()
    with torch.no_grad():
        module[3].bias.fill_(0.25)
    source = kept(module).source.source
    spreads = [module[0].weight, module[0].bias, module[3].weight]
    expected = [p.detach().double().numpy().std() for p in spreads] + [np.sqrt(2 / 6)]
    assert np.array_equal(source.scale, np.repeat(expected, [24, 6, 18, 3]))
    by_pattern = kept(module, scale={"0.*": 0.1}).source.source.scale
    assert np.array_equal(by_pattern, np.repeat([0.1, 1.0], [30, 21]))


def test_two_adapters_swap_bit_for_bit_and_the_network_is_still_there():
    module = network().eval()
    model = kept(module)
    before = module(INPUTS)
    first = trained(model)(INPUTS)
    with model.disable_adapter():
        assert torch.equal(model(INPUTS), before)
    assert torch.equal(model(INPUTS), first)
    model.add_adapter("second", reps=3, seed=5, circuits=4)
    model.set_adapter("second")
    assert model.active_adapter == "second"
    assert model.adapters == ("default", "second")
    assert torch.equal(model(INPUTS), before)
    second = trained(model, seed=2)(INPUTS)
    assert not torch.allclose(first, second)
    for name, expected in [("default", first), ("second", second), ("default", first)]:
        model.set_adapter(name)
        assert torch.equal(model(INPUTS), expected)
    assert torch.equal(module(INPUTS), before)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        again.set_adapter("second")
        assert torch.equal(again(INPUTS), second)


def test_merging_fixes_the_weights_and_unmerging_brings_them_back():
    model = trained(kept())
    expected = model(INPUTS)
    model.merge_adapter()
    with pytest.raises(ValueError, match="is merged, disabled"):
        model.save_pretrained("nowhere")
    before = model.angles.clone()
    with torch.no_grad():
        model.angles.add_(1.0)
        assert torch.equal(model(INPUTS), expected)
        assert torch.equal(model.merge_and_unload()(INPUTS), expected)
        model.angles.copy_(before)
    assert model.double()(INPUTS.double()).dtype == torch.float64
    model.float().unmerge_adapter()
    assert torch.equal(model(INPUTS), expected)
    (-model(INPUTS).sum()).backward()
    assert model.angles.grad.abs().max() > 0


def test_the_adapter_alone_is_saved_and_goes_only_on_its_network(tmp_path):
    model = trained(kept())
    expected = model(INPUTS)
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "README.md"}
    again = QuantumTrain.from_pretrained(network(), tmp_path).eval()
    assert torch.equal(again(INPUTS), expected)
    assert [n for n, p in again.named_parameters() if p.requires_grad] == [
        n for n, p in model.named_parameters() if p.requires_grad
    ]
    with again.disable_adapter():
        assert torch.equal(again(INPUTS), network().eval()(INPUTS))
    other = kept(seed=3)
    other.load_adapter(tmp_path, "read")
    other.set_adapter("read")
    assert torch.equal(other.eval()(INPUTS), expected)
    with pytest.raises(ModelFileError, match=r"the fingerprint .*, this one's have"):
        QuantumTrain.from_pretrained(network(7), tmp_path)
    with pytest.raises(ModelFileError, match=r"the fingerprint .*, this one's have"):
        kept(network(7)).load_adapter(tmp_path, "read")
    elsewhere = network()
    elsewhere[1].weight.data.add_(1)
    with pytest.raises(ModelFileError, match="frozen parameters are not those"):
        QuantumTrain.from_pretrained(elsewhere, tmp_path)
    with pytest.raises(ModelFileError, match="makes other parameters"):
        kept(target_parameters="0.*").load_adapter(tmp_path, "read")
    with pytest.raises(ValueError, match="is an adapter already"):
        other.load_adapter(tmp_path, "read")
    with pytest.raises(ValueError, match="belongs to another circuit or map"):
        kept(network(7)).load_state_dict(model.state_dict())


def test_a_whole_file_brings_its_network_along(tmp_path):
    model = trained(kept())
    model.save_pretrained(tmp_path, include_frozen=True)
    again = QuantumTrain.from_pretrained(network(7), tmp_path).eval()
    assert torch.equal(again(INPUTS), model(INPUTS))
    save_recipe(model, tmp_path / "recipe")
    plain = load_recipe(tmp_path / "recipe", network(8)).eval()
    assert torch.equal(plain(INPUTS), model(INPUTS))


def test_a_rival_changes_the_network_too():
    module = network().eval()
    model = kept(module, SubspaceSource([(24, 4), (6, 4), (18, 6), (3, 6)], 5), reps=None)
    assert torch.equal(model.eval()(INPUTS), module(INPUTS))
    trained(model)
    assert not torch.allclose(model(INPUTS), module(INPUTS))


@pytest.mark.slow
def test_an_adapter_of_256_numbers_on_a_resnet_is_8_kb_and_starts_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    module = resnet18().eval()
    model = QuantumTrain(module, base="keep", circuits=13, dtype="float32", trained=255)
    assert model.num_trainable_parameters == 256
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), module(images))
        model.angles.add_(0.5)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size <= 8000
    again = QuantumTrain.from_pretrained(module, tmp_path)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), model(images))


def test_what_cannot_be_kept_is_refused_by_name():
    with pytest.raises(ValueError, match="`shots` is 9; what is measured is never back"):
        kept(shots=9)
    with pytest.raises(ValueError, match="`base` is 'add'"):
        kept(base="add")
    plain = QuantumTrain(network(), reps=1)
    for call in (plain.disable_adapter().__enter__, lambda: plain.add_adapter("b")):
        with pytest.raises(ValueError, match="wrap it with base='keep'"):
            call()
    with pytest.raises(ValueError, match="`name` is 'b'; there are 'default'"):
        plain.set_adapter("b")
    with pytest.raises(ValueError, match="it needs base='keep'"):
        QuantumTrain(network(), scale="spread")
    broken = network()
    broken[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        kept(broken)


@pytest.mark.parametrize(
    ("circuits", "sizes"),
    [
        (None, None),
        (5, [26, 26]),
        ("tensor", [24, 6, 18, 3]),
        ("0", [30, 21]),
        (["3"], [30, 21]),
    ],
)
def test_circuits_divide_the_weights(circuits, sizes):
    source = kept(circuits=circuits, base=None).source
    assert getattr(source, "sizes", None) == (sizes and tuple(sizes))


def test_the_table_tells_circuits_and_what_trains_besides(capsys):
    model = kept(circuits=Circuits(5, shared=True, offset=2))
    model.print_trainable_parameters()
    head, names, *rows = capsys.readouterr().out.splitlines()
    assert head == "trainable params: 43 || all params: 71 || trainable%: 60.5634"
    assert names.split()[-4:] == ["weights", "circuits", "qubits", "trained"]
    assert [row.split() for row in rows] == [
        ["0.weight", "…", "3.bias", "51", "2", "5", "4"],
        ["of", "all", "together", "31"],
        ["4.weight", "6", "6"],
        ["4.bias", "2", "2"],
    ]


def test_many_circuits_train_and_come_back(tmp_path):
    model = QuantumTrain(network(), circuits=3, shots=500, reps=1, dtype="float32")
    trained(model)
    model.save_pretrained(tmp_path)
    again = QuantumTrain.from_pretrained(network(), tmp_path).eval()
    assert torch.equal(again(INPUTS), model(INPUTS))


def test_a_large_circuit_is_warned_of():
    module = nn.Linear(1 << 10, 1 << 11)
    with pytest.warns(LargeCircuitWarning, match="one circuit of 22 qubits makes 2099200"):
        QuantumTrain(module, reps=1)
    with pytest.raises(ValueError, match="`circuits` has 'x', which fits no module"):
        QuantumTrain(module, circuits="x")
    with pytest.raises(ValueError, match=r"Circuits\(…, gammas='each'\)"):
        QuantumTrain(module, circuits=13, gamma="per_tensor")


@pytest.mark.parametrize("circuits", [None, 13])
def test_what_has_no_room_is_refused_before_it_is_made(circuits):
    module = nn.Linear(1, 1)
    # One number, seen as a tebi of them.
    module.weight = nn.Parameter(torch.zeros(1).expand(1 << 20, 1 << 20))
    with pytest.raises(MemoryError, match=r"circuits of 1099511627777 weights needs? \d+.\d\d GiB"):
        QuantumTrain(module, circuits=circuits, target_parameters="*")
