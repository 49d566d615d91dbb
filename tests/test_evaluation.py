from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from qnnw.data import networks
from qnnw.training import evaluation
from qnnw.training.evaluation import Evaluator

DATA = {
    "iris": (networks.iris, (4,), 3, 101),
    "mnist": (networks.mnist, (1, 28, 28), 10, 643),
}


def problem(name, seed=0):
    make, shape, classes, samples = DATA[name]
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, *shape, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    network = make()
    weights = np.random.default_rng(seed).normal(0, 0.2, networks.num_weights(network))
    return network, inputs, labels, weights


def plain(network, inputs, labels, weights):
    """The network loaded the ordinary way, the whole batch at once."""
    nn.utils.vector_to_parameters(torch.from_numpy(weights).to(torch.float32), network.parameters())
    with torch.no_grad():
        logits = network(inputs)
    failed = (logits.argmax(1) != labels).double().mean().item()
    return logits, functional.cross_entropy(logits, labels).item(), failed


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_equals_a_plain_evaluation(name, activation):
    _, inputs, labels, weights = problem(name)
    network = DATA[name][0](activation)
    result = Evaluator(network, inputs, labels)(weights)
    _, cross_entropy, failed = plain(network, inputs, labels, weights)
    assert result.cross_entropy == pytest.approx(cross_entropy, rel=1e-5)
    assert result.accuracy == pytest.approx(1 - failed, abs=1.5 / len(labels))
    assert result.loss == pytest.approx(result.cross_entropy + 1 - result.accuracy, rel=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_threads_do_not_matter(name, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", 200_000)
    network, inputs, labels, weights = problem(name)
    results = []
    for threads in (1, 2, 3, 8):
        evaluator = Evaluator(network, inputs, labels, threads=threads)
        results.append(evaluator(weights))
        evaluator.close()
    assert results == [results[0]] * 4


def test_chunks_do_not_matter_much(monkeypatch):
    network, inputs, labels, weights = problem("mnist")
    losses = []
    for size in (1, 100_000, 1 << 30):
        monkeypatch.setattr(evaluation, "CHUNK_BYTES", size)
        losses.append(Evaluator(network, inputs, labels)(weights).loss)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_the_binary_loss():
    network, inputs, labels, weights = problem("iris")
    logits, _, failed = plain(network, inputs, labels, weights)
    p = torch.softmax(logits.double(), dim=1)
    hot = functional.one_hot(labels, 3).double()
    expected = -(hot * p.log() + (1 - hot) * (1 - p).log()).sum(1).mean().item()
    result = Evaluator(network, inputs, labels, loss="binary")(weights)
    assert result.cross_entropy == pytest.approx(expected, rel=1e-5)
    assert result.loss == pytest.approx(expected + failed, rel=1e-5)


def test_the_binary_loss_is_finite_far_out():
    network, inputs, labels, _ = problem("iris")
    weights = np.full(131, 50.0)
    assert np.isfinite(Evaluator(network, inputs, labels, loss="binary")(weights).loss)


def test_state_dict_is_the_plain_networks():
    network, inputs, labels, weights = problem("mnist")
    evaluator = Evaluator(network, inputs, labels)
    evaluator(np.zeros_like(weights))
    state = evaluator.state_dict(weights)
    fresh = networks.mnist()
    fresh.load_state_dict(state)
    flat = nn.utils.parameters_to_vector(fresh.parameters()).detach().numpy()
    assert np.array_equal(flat, weights.astype(np.float32))
    assert all(tensor.is_contiguous() for tensor in state.values())


def test_neither_the_network_nor_torch_is_left_changed():
    network, inputs, labels, weights = problem("mnist")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    Evaluator(network, inputs, labels, threads=2)(weights)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert isinstance(network.pool1, nn.MaxPool2d)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("size", [6, 7, 8, 13, 28])
@pytest.mark.parametrize("bias", [True, False])
def test_joined_convolution_and_pool(size, bias):
    network = nn.Sequential(nn.Conv2d(3, 5, (5, 4), bias=bias), nn.MaxPool2d(2))
    joined = copy.deepcopy(network)
    (made,) = evaluation._join(joined)
    assert joined[0] is made
    made.refresh()
    inputs = torch.randn(4, 3, size, size + 1)
    with torch.no_grad():
        torch.testing.assert_close(joined(inputs), network(inputs))


def test_others_are_left_alone():
    for conv, pool in (
        (nn.Conv2d(1, 64, 3), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3, stride=2), nn.MaxPool2d(2)),
        (nn.Conv2d(2, 8, 3, groups=2), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(3)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(2, stride=1)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(2, ceil_mode=True)),
        (nn.Conv2d(1, 8, 3), nn.AvgPool2d(2)),
    ):
        network = nn.Sequential(conv, pool)
        assert evaluation._join(network) == []
        assert list(network) == [conv, pool]


def test_bad_arguments():
    network, inputs, labels, weights = problem("iris")
    with pytest.raises(ValueError, match="`loss` is 'mse'"):
        Evaluator(network, inputs, labels, loss="mse")
    with pytest.raises(ValueError, match="`labels` has length 5"):
        Evaluator(network, inputs, labels[:5])
    with pytest.raises(ValueError, match=r"`weights` has shape \(130,\)"):
        Evaluator(network, inputs, labels)(weights[1:])


def test_networks():
    assert networks.num_weights(networks.iris()) == 131
    assert networks.num_weights(networks.mnist()) == 6690
    with pytest.raises(ValueError, match="`activation` is 'gelu'"):
        networks.mnist("gelu")


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_the_activation_may_stand_before_or_after_the_pool(activation):
    """All are monotone, so that nothing depends on it."""
    network = networks.mnist(activation)
    swapped = nn.Sequential(
        network.conv1, network.act1, network.pool1, network.conv2, network.act2, network.pool2,
        network.flatten, network.fc1, network.act3, network.fc2,
    )  # fmt: skip
    inputs = torch.randn(4, 1, 28, 28)
    assert torch.equal(network(inputs), swapped(inputs))


@pytest.mark.parametrize("name", ["abacus", "meta", "hpu", "privateuseone", "ipu", "cuda:77"])
def test_a_device_that_cannot_be_used_is_named(name):
    network, inputs, labels, _ = problem("iris")
    with pytest.raises(ValueError, match=f"`device` is '{name}', which torch cannot use: "):
        Evaluator(network, inputs, labels, device=name)
