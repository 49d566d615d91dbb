from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from torch import nn
from torch.nn import functional

from qnnw.data import networks
from qnnw.training import evaluation
from qnnw.training.behaviour import Behaviour
from qnnw.training.evaluation import Evaluator
from qnnw.training.gradient import BatchGradient, batches

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


def test_bad_arguments():
    network, inputs, labels, weights = problem("iris")
    with pytest.raises(ValueError, match="`loss` is 'mse'"):
        Evaluator(network, inputs, labels, loss="mse")
    with pytest.raises(ValueError, match="`labels` has length 5"):
        Evaluator(network, inputs, labels[:5])
    with pytest.raises(ValueError, match=r"`weights` has shape \(130,\)"):
        Evaluator(network, inputs, labels)(weights[1:])


@pytest.mark.parametrize("name", ["abacus", "meta", "hpu", "privateuseone", "ipu", "cuda:77"])
def test_a_device_that_cannot_be_used_is_named(name):
    network, inputs, labels, _ = problem("iris")
    with pytest.raises(ValueError, match=f"`device` is '{name}', which torch cannot use: "):
        Evaluator(network, inputs, labels, device=name)


class Odd(nn.Module):
    """Statistics, dropout, tied, frozen and unused parameters; keeps its last activation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.second = nn.Linear(6, 6)
        self.again = nn.Linear(6, 6)
        self.again.weight = self.second.weight
        self.unused = nn.Parameter(torch.ones(2))
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(6, 3).requires_grad_(False)

    def forward(self, inputs):
        hidden = torch.tanh(self.norm(self.first(inputs)))
        self.last = self.drop(self.again(torch.tanh(self.second(hidden))))
        return self.out(self.last)


def odd_problem(samples=40):
    torch.manual_seed(0)
    network = Odd()
    network(torch.randn(8, 4))  # holds an activation with a graph now
    names = [name for name, p in network.named_parameters() if p.requires_grad][::-1]
    names[names.index("second.weight")] = "again.weight"
    parameters = dict(network.named_parameters(remove_duplicate=False))
    flat = torch.cat([parameters[name].detach().reshape(-1) for name in names])
    inputs, labels = torch.randn(samples, 4), torch.randint(3, (samples,))
    return network, names, flat.double().numpy(), inputs, labels


def test_the_weights_order_is_that_of_the_names():
    network, names, weights, inputs, labels = odd_problem()
    changed = np.random.default_rng(0).normal(0, 0.3, len(weights))
    evaluator = Evaluator(network, inputs, labels, names=names)
    assert np.array_equal(evaluator.own_weights(), weights)
    result = evaluator(changed)
    state = evaluator.state_dict(changed)
    plain = Odd()
    plain.load_state_dict(state)
    with torch.no_grad():
        logits = plain.eval()(inputs)
    expected = functional.cross_entropy(logits, labels).item()
    assert result.cross_entropy == pytest.approx(expected, rel=1e-5)
    assert torch.equal(state["out.weight"], network.out.weight)
    assert torch.equal(state["again.weight"], state["second.weight"])
    for wrong, text in (
        (["first.weigth"], "has 'first.weigth'"),
        (["second.weight", "again.weight"], "two"),
    ):
        with pytest.raises(ValueError, match=text):
            Evaluator(network, inputs, labels, names=wrong)


def test_a_batchs_gradient_statistics_and_dropout():
    network, names, weights, inputs, labels = odd_problem()
    before = torch.random.get_rng_state()
    gradient = BatchGradient(network, names=names, seed=5)
    loss, found = gradient(weights, inputs, labels, step=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    statistics = gradient.buffers()
    assert int(statistics["norm.num_batches_tracked"]) == 2
    # The same, the ordinary way.
    from qnnw._common.seeds import derived_seed
    from qnnw.training.gradient import NETWORK_DRAWS

    plain = Odd()
    plain.load_state_dict(network.state_dict())
    torch.manual_seed(derived_seed(5, NETWORK_DRAWS + 3))
    expected = functional.cross_entropy(plain.train()(inputs), labels)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    parameters = dict(plain.named_parameters(remove_duplicate=False))
    grads = [parameters[name].grad for name in names]
    flat = torch.cat([
        torch.zeros(2) if grad is None else grad.reshape(-1) for grad in grads
    ])  # fmt: skip
    np.testing.assert_allclose(found, flat, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(plain.norm.running_mean, statistics["norm.running_mean"])
    # Another step draws otherwise; the same one again does not, whatever was drawn between.
    assert gradient(weights, inputs, labels, step=4)[0] != loss
    gradient.set_buffers(statistics)
    torch.rand(7)
    again = BatchGradient(network, names=names, seed=5, threads=3)
    assert again(weights, inputs, labels, step=3)[0] == loss
    again.set_buffers({})
    assert int(again.buffers()["norm.num_batches_tracked"]) == 1  # as the network had them


def test_statistics_reach_the_evaluation():
    network, names, weights, inputs, labels = odd_problem()
    gradient = BatchGradient(network, names=names)
    for step in range(5):
        gradient(weights, inputs, labels, step)
    evaluator = Evaluator(network, inputs, labels, names=names)
    with_them = evaluator(weights, gradient.buffers())
    without = evaluator(weights)
    assert with_them.loss != without.loss
    state = evaluator.state_dict(weights, gradient.buffers())
    assert int(state["norm.num_batches_tracked"]) == 6
    plain = Odd()
    plain.load_state_dict(state)
    assert Evaluator(plain, inputs, labels, names=names)(weights) == with_them
    assert Evaluator(network, inputs, labels, names=names)(weights) == without


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.BatchNorm1d(4), "looks at the whole batch"),
        (nn.Softmax(dim=0), "looks at the whole batch"),
        (nn.Dropout(0.1), "draws random numbers"),
        (nn.RReLU(), "draws random numbers"),
        (nn.InstanceNorm1d(4, track_running_stats=True), "keeps statistics"),
        (type("Own", (nn.Linear,), {})(4, 4), "is not one of torch's own layers"),
        (nn.LayerNorm(4), None),
        (nn.Dropout(0.0), None),
        (nn.Sequential(nn.Linear(4, 4), nn.GELU()), None),
    ],
)
def test_what_keeps_a_batch_whole(layer, reason):
    behaviour = Behaviour.of(nn.Sequential(nn.Linear(4, 4), layer))
    assert behaviour.whole is None if reason is None else behaviour.whole.endswith(reason)
    gradient = BatchGradient(nn.Sequential(layer, nn.Linear(4, 2)))
    assert bool(gradient.describe()) == (reason is not None)


def test_batches():
    normed, plain = nn.Sequential(nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(3, 3))
    sizes = lambda network, n, size: [len(b) for b in batches(torch.arange(n), size, network)]  # noqa: E731
    assert sizes(plain, 33, 16) == [16, 16, 1]
    assert sizes(normed, 33, 16) == [16, 17]
    assert sizes(normed, 34, 16) == [16, 16, 2]
    assert sizes(normed, 1, 16) == [1]
    for network in (normed, plain):
        gradient = BatchGradient(network)
        for samples in range(1, 70):
            counted = gradient.num_batches(samples, 16)
            assert counted == len(gradient.batches(torch.arange(samples), 16))
    with pytest.raises(ValueError, match="a batch of one sample has no statistics"):
        BatchGradient(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)))(
            np.zeros(18), torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)
        )


@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize("width", [None, 1, 3])
def test_regression(loss, width):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, width or 1))
    inputs = torch.randn(50, 4)
    targets = torch.randn(50) if width is None else torch.randn(50, width)
    scale = np.arange(1.0, (width or 1) + 1)
    evaluator = Evaluator(network, inputs, targets, loss=loss, target_scale=scale, threads=2)
    weights = evaluator.own_weights()
    result = evaluator(weights)
    with torch.no_grad():
        rest = (network(inputs).double() - targets.double().reshape(50, -1)).numpy()
    by_hand = (rest**2).mean() if loss == "mse" else np.abs(rest).mean()
    assert result.loss == pytest.approx(by_hand, rel=1e-6)
    assert result.measures["rmse"] == pytest.approx(np.sqrt(((rest * scale) ** 2).mean()), rel=1e-6)
    from sklearn.metrics import r2_score

    r2 = r2_score(targets.reshape(50, -1), network(inputs).detach())
    assert result.measures["r2"] == pytest.approx(r2, rel=1e-5)
    value, gradient = BatchGradient(network, loss=loss)(weights, inputs, targets)
    assert value == pytest.approx(by_hand, rel=1e-6)
    step = 1e-2 * np.eye(1, len(weights), 7)[0]
    up, down = (evaluator(weights + step).loss, evaluator(weights - step).loss)
    assert gradient[7] == pytest.approx((up - down) / 2e-2, rel=2e-2, abs=1e-4)


def test_constant_targets_have_a_finite_score():
    network = nn.Sequential(nn.Linear(2, 1))
    result = Evaluator(network, torch.zeros(3, 2), torch.ones(3), loss="mse")(np.zeros(3))
    assert result.measures["r2"] == 0.0
    met = Evaluator(network, torch.zeros(3, 2), torch.ones(3), loss="mse")(
        np.array([0.0, 0.0, 1.0])
    )
    assert (met.measures["r2"], met.loss) == (1.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_precisions(dtype):
    network, inputs, labels, weights = problem("iris")
    expected = Evaluator(network, inputs, labels)(weights)
    network = network.to(dtype)
    result = Evaluator(network, inputs, labels)(weights)
    gradient = BatchGradient(network)
    loss, found = gradient(weights, gradient.arranged(inputs), labels)
    tolerance = 1e-5 if dtype == torch.float64 else 0.05
    assert result.loss == pytest.approx(expected.loss, rel=tolerance)
    assert loss == pytest.approx(expected.cross_entropy, rel=tolerance)
    assert np.isfinite(found).all()


def test_outputs_that_do_not_fit_are_named():
    inputs, labels = torch.zeros(6, 4), torch.arange(6) % 3
    for network, targets, text in (
        (
            nn.Linear(4, 2),
            labels,
            r"puts out shape \(samples, 2\).*needs? \(samples, 3\), one a class",
        ),
        (nn.Linear(4, 2), labels.float(), r"loss"),
        (nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1))), labels, r"\(samples, 3, 1\)"),
    ):
        with pytest.raises(ValueError, match=text):
            Evaluator(network, inputs, targets)
    with pytest.raises(ValueError, match=r"\(samples, 1\), one a target"):
        Evaluator(nn.Linear(4, 2), inputs, labels.float(), loss="mse")
    with pytest.raises(ValueError, match=r"\(samples, 4\), one a class"):
        Evaluator(nn.Linear(4, 5), inputs, labels, num_outputs=4)
    with pytest.raises(TypeError, match="puts out an object of type tuple"):
        Evaluator(nn.GRU(4, 3), inputs, labels)


@given(
    samples=strategies.integers(2, 150),
    size=strategies.integers(1, 5),
    seed=strategies.integers(0, 9),
)
def test_cut_and_whole_batches_agree(samples, size, seed):
    """Chunks of 64 give the gradient of the batch at once."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, size, generator=generator)
    labels = torch.randint(3, (samples,), generator=generator)
    plain = nn.Sequential(nn.Linear(size, 4), nn.Tanh(), nn.Linear(4, 3))
    own = type("Own", (nn.Sequential,), {})(*copy.deepcopy(plain))
    weights = np.random.default_rng(seed).normal(size=networks.num_weights(plain))
    cut, whole = (BatchGradient(n, threads=1)(weights, inputs, labels) for n in (plain, own))
    assert cut[0] == pytest.approx(whole[0], rel=1e-5)
    np.testing.assert_allclose(cut[1], whole[1], rtol=1e-4, atol=1e-6)
