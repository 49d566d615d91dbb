"""Noise in the exact engine: readout, depolarising and damping, their gradients, and mitigation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import chi2

import qnnw
from noisy_reference import noisy_probabilities
from qnnw.circuit import devices
from qnnw.circuit.devices.damped import Damped
from qnnw.circuit.devices.program import CLIFFORDS, ROTATIONS, Program
from qnnw.circuit.devices.readout import applied, mitigated, nearest
from qnnw.circuit.devices.trajectories import frames, random_paulis
from qnnw.weights.circuit import CircuitSource


def random_readout(num_qubits, rng, largest=0.15):
    up, down = rng.uniform(0, largest, (2, num_qubits))
    return np.moveaxis(np.array([[1 - up, down], [up, 1 - down]]), 2, 0)


def kron_of(matrices):
    whole = np.eye(1)
    for matrix in matrices:
        whole = np.kron(matrix, whole)
    return whole


def random_program(num_qubits, length, rng):
    """Gates of every kind, each rotation with an angle of its own."""
    gates, slots = [], 0
    for _ in range(length):
        name = rng.choice([*ROTATIONS, *CLIFFORDS])
        size = 2 if len(ROTATIONS.get(name, "")) == 2 or name in ("cx", "cz", "swap") else 1
        if size > num_qubits:
            continue
        qubits = tuple(int(q) for q in rng.choice(num_qubits, size, replace=False))
        gates.append((str(name), qubits, slots if name in ROTATIONS else None))
        slots += name in ROTATIONS
    return Program(num_qubits, tuple(gates), csr_array(np.eye(slots)), np.zeros(slots))


@given(num_qubits=st.integers(1, 9), rows=st.integers(1, 3), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
@pytest.mark.property
def test_readout_is_a_tensor_product(num_qubits, rows, seed):
    rng = np.random.default_rng(seed)
    matrices = random_readout(num_qubits, rng)
    values, cotangents = rng.normal(size=(2, rows, 2**num_qubits))
    read = applied(matrices, values)
    np.testing.assert_allclose(read, values @ kron_of(matrices).T, rtol=0, atol=1e-13)
    back = applied(matrices.swapaxes(1, 2), cotangents)
    np.testing.assert_allclose(np.sum(read * cotangents), np.sum(values * back), atol=1e-10)


@given(num_qubits=st.integers(1, 4), seed=st.integers(0, 2**32), loss=st.sampled_from([0, 0.4]))
@settings(max_examples=25, deadline=None)
@pytest.mark.property
def test_trajectories_are_a_density_matrix_unravelled(num_qubits, seed, loss):
    """Summed over all branches with their probabilities, without any sampling."""
    rng = np.random.default_rng(seed)
    program = random_program(num_qubits, 14, rng)
    slots = rng.uniform(-9, 9, program.num_slots)
    ideal = noisy_probabilities(num_qubits, program.gates, slots, (0, 0), (0, 0))
    paulis = random_paulis(program, (0, 0), 1, rng)
    found = Damped(program, (0, 0), paulis, slots, rng).probabilities
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-12)
    # Paulis that were drawn, pushed to the end: the same state as where they stand.
    paulis = random_paulis(program, (0.5, 0.5), 5, rng)
    placed = Damped(program, (0, 0), paulis, slots, rng).probabilities
    signs, flips = frames(program, paulis, 5)
    bases, pushed = np.arange(2**num_qubits), []
    for sign, flip in zip(signs, flips, strict=True):
        one = noisy_probabilities(num_qubits, program.gates, sign * slots, (0, 0), (0, 0))
        pushed.append(one[bases ^ (flip @ (1 << np.arange(num_qubits)))])
    np.testing.assert_allclose(np.mean(pushed, axis=0), placed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("damping", [(0.0, 0.0), (0.03, 0.15)])
def test_means_of_trajectories_and_of_their_gradients(damping):
    ansatz = qnnw.EfficientSU2(2, 1)
    angles, program = ansatz.random_angles(5), Program.of(ansatz)
    noise, cotangent = devices.Noise((0.05, 0.2), damping), np.array([0.3, -1.0, 2.0, 0.7])

    def exact(at):
        return noisy_probabilities(2, program.gates, at, noise.depolarizing, damping)

    steps = 1e-5 * np.eye(len(angles))
    slopes = np.array([exact(angles + h) - exact(angles - h) for h in steps]) / 2e-5
    found = [devices.Noisy(noise, trajectories=60).forward(ansatz, angles, s) for s in range(40)]
    for drawn, wanted in (
        ([p for p, _ in found], exact(angles)),
        ([back(cotangent) for _, back in found], slopes @ cotangent),
    ):
        spread = np.std(drawn, axis=0) / np.sqrt(len(drawn))
        assert np.all(np.abs(np.mean(drawn, axis=0) - wanted) <= 5 * spread + 1e-9)


@pytest.mark.parametrize("mapping", ["paper", "centered", "sqrt", "hadamard"])
@pytest.mark.parametrize("tensors", [None, [20, 21]])
def test_the_gradient_of_the_noisy_chain(mapping, tensors):
    """Paulis that are drawn stay where they are: the chain is then a smooth function."""
    rng = np.random.default_rng(0)
    ansatz, weight_map = qnnw.EfficientSU2(6, 2), qnnw.WeightMap(41, 3, mapping=mapping)
    noise = devices.Noise((0.02, 0.1), readout=random_readout(6, rng))
    execution = devices.Noisy(noise, trajectories=20)
    source = CircuitSource(ansatz, weight_map, execution=execution, tensors=tensors)
    parameters = {name: group.start for name, group in source.groups.items()}
    cotangent = rng.normal(size=41)
    weights, pullback = source.forward(parameters, 4)
    np.testing.assert_array_equal(weights, source.weights(parameters, 4))
    gradients = pullback(cotangent)
    for name, values in parameters.items():
        for place in range(len(values)):
            step = np.zeros(len(values))
            step[place] = 1e-5
            ends = [source.weights({**parameters, name: values + s * step}, 4) for s in (1, -1)]
            slope = cotangent @ (ends[0] - ends[1]) / 2e-5
            assert gradients[name][place] == pytest.approx(slope, rel=1e-7, abs=1e-7)


def chi_square(counts, probabilities):
    """The chance of counts as far from these probabilities; rare bases are taken together."""
    expected = probabilities * counts.sum()
    rare = expected < 10
    pairs = [(counts[~rare], expected[~rare]), (counts[rare].sum(), expected[rare].sum())]
    total = sum(float(np.sum((c - e) ** 2 / e)) for c, e in pairs if np.sum(e) > 0)
    return chi2.sf(total, max(1, int((~rare).sum() + (rare.any()) - 1)))


def aers_counts(ansatz, angles, noise, shots, seed):
    """Counts by Aer's own noise model."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
    from qiskit_aer.noise import amplitude_damping_error as damping_error

    model = NoiseModel(basis_gates=["h", "ry", "rz", "cx"])
    (p1, p2), (g1, g2) = noise.depolarizing, noise.damping
    model.add_all_qubit_quantum_error(
        depolarizing_error(p1, 1).compose(damping_error(g1)), ["h", "ry", "rz"]
    )
    both = damping_error(g2).tensor(damping_error(g2))
    model.add_all_qubit_quantum_error(depolarizing_error(p2, 2).compose(both), ["cx"])
    for qubit, matrix in enumerate(noise.matrices(ansatz.num_qubits)):
        model.add_readout_error(ReadoutError(matrix.T), [qubit])
    circuit = ansatz.to_qiskit(angles)
    circuit.measure_all()
    simulator = AerSimulator(noise_model=model, method="density_matrix", seed_simulator=seed)
    found = simulator.run(circuit, shots=shots).result().get_counts()
    counts = np.zeros(2**ansatz.num_qubits)
    counts[[int(word, 2) for word in found]] = list(found.values())
    return counts


def test_noise_is_aers():
    pytest.importorskip("qiskit_aer")
    rng, chances = np.random.default_rng(1), []
    for case in range(3):
        ansatz = qnnw.EfficientSU2(3, case % 3)
        angles = ansatz.random_angles(case)
        noise = devices.Noise((0.01, 0.05), (0.02, 0.03), random_readout(3, rng))
        program = Program.of(ansatz)
        exact = noisy_probabilities(3, program.gates, angles, noise.depolarizing, noise.damping)
        read = applied(noise.matrices(3), exact)
        chances.append(chi_square(aers_counts(ansatz, angles, noise, 200_000, case), read))
    assert min(chances) > 1e-4


def test_mitigation_undoes_what_aer_reads_wrongly():
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("mthree")
    rng, ansatz = np.random.default_rng(2), qnnw.EfficientSU2(5, 2)
    angles, shots = ansatz.random_angles(0), 400_000
    noise = devices.Noise(readout=random_readout(5, rng))
    counts, matrices = aers_counts(ansatz, angles, noise, shots, 0), noise.matrices(5)
    exact = ansatz.probabilities(angles)
    read = applied(matrices, exact)
    # The covariance of what is corrected is that of the counts, through the inverse.
    inverse = kron_of(np.linalg.inv(matrices))
    covariance = inverse @ (np.diag(read) - np.outer(read, read)) @ inverse.T / shots
    rows = csr_array(counts[None].astype(np.int64))
    for how in ("inverse", "m3"):
        found = mitigated(how, rows, matrices)
        found = found.toarray()[0] if how == "m3" else found[0]
        off = found - exact
        total = off @ np.linalg.pinv(covariance, rcond=1e-9) @ off
        assert chi2.sf(total, len(exact) - 1) > 1e-4
    assert np.abs(counts / shots - exact).max() > 10 * np.sqrt(covariance.diagonal().max())


def test_a_device_is_calibrated_by_its_own_job():
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("mthree")
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, ReadoutError
    from qiskit_aer.primitives import SamplerV2

    ansatz, wanted = qnnw.EfficientSU2(3, 1), random_readout(3, np.random.default_rng(3), 0.3)
    model = NoiseModel()
    for qubit, matrix in enumerate(wanted):
        model.add_readout_error(ReadoutError(matrix.T), [qubit])
    simulator = AerSimulator(noise_model=model)

    def seeded(seed):
        return SamplerV2.from_backend(simulator, seed=seed)

    angles = ansatz.random_angles(1)
    plain = devices.Sampler(seeded, shots=20_000)
    exact = ansatz.probabilities(angles)
    for how in ("inverse", "m3"):
        sampler = devices.Sampler(seeded, shots=20_000, mitigate=how)
        found, pullback = sampler.forward(ansatz, angles, 0)
        matrices = sampler._matrices(sampler.prepared(ansatz))
        np.testing.assert_allclose(matrices, wanted, rtol=0, atol=5 * 0.5 / np.sqrt(20_000))
        assert np.abs(found - exact).max() < 0.02
        cotangent = np.arange(8.0)
        slope = ansatz.probabilities_vjp(angles, cotangent)
        np.testing.assert_allclose(pullback(cotangent), slope, rtol=0, atol=0.15)
    assert np.abs(plain.probabilities(ansatz, angles, 0) - exact).max() > 0.04


def test_the_nearest_distribution():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        values = rng.normal(1 / size, 0.3, size)
        found = nearest(values)
        assert found.min() >= 0
        assert found.sum() == pytest.approx(1)
        # It is nearest where what is left points away from every other one.
        for other in [*np.eye(size), *rng.dirichlet(np.ones(size), 20)]:
            assert (values - found) @ (other - found) <= 1e-12
    np.testing.assert_allclose(nearest(np.array([0.2, 0.8])), [0.2, 0.8], atol=1e-15)


def test_a_devices_noise_in_few_numbers():
    pytest.importorskip("qiskit_ibm_runtime")
    ansatz = qnnw.EfficientSU2(4, 1)
    backend = devices.backends.fake_backend("fake_montreal")
    noise = devices.Noise.from_backend(backend, ansatz)
    assert 1e-5 < noise.depolarizing[0] < noise.depolarizing[1] < 0.1
    assert np.array(noise.readout).shape == (4, 2, 2)
    named = devices.Noisy("fake_montreal", shots=100, trajectories=3)
    again = devices.execution_from(named.describe())
    angles = ansatz.random_angles(0)
    found = named.probabilities(ansatz, angles, 2)
    np.testing.assert_array_equal(found, again.probabilities(ansatz, angles, 2))
    assert not np.array_equal(found, named.probabilities(ansatz, angles, 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depolarizing": 1.5}, "`depolarizing` is 1.5"),
        ({"damping": (0, 0, 0)}, r"`damping` has shape \(3,\)"),
        ({"readout": 2}, "`readout` has an entry that is no probability"),
        ({"readout": np.full((2, 2, 2), 0.4)}, "column that does not sum to 1"),
    ],
)
def test_noise_that_is_none_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        devices.Noise(**values)


def test_qubits_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="determinant"):
        mitigated("inverse", csr_array(np.ones((1, 2), dtype=int)), np.full((1, 2, 2), 0.5))
    with pytest.raises(ValueError, match=r"shape \(3, 2, 2\); it must be a probability"):
        devices.readout_matrices(np.ones((3, 2, 2)) / 2, 4)
    with pytest.raises(ValueError, match="give `shots` and `readout`"):
        devices.Noisy(devices.Noise(0.1), shots=10, mitigate="inverse")
