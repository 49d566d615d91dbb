"""Circuits that are measured: samplers, gradients, jobs that fail, and runs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnnw
from qnnw.circuit import devices
from qnnw.circuit.devices.program import Program
from qnnw.training.config import TrainConfig
from qnnw.training.runs import evaluate_run, resume, start
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.source import from_description

qiskit = pytest.importorskip("qiskit")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Ideal:
    """A SamplerV2 whose every outcome is that of a seed, quickly; it can fail, and has limits."""

    def __init__(self, seed=0, fail_every=0, calls=None):
        self.seed, self.fail_every, self.calls = (
            seed,
            fail_every,
            calls if calls is not None else [],
        )

    def run(self, pubs):
        from qiskit.primitives import StatevectorSampler

        self.calls.append([(len(values), shots) for _, values, shots in pubs])
        if self.fail_every and len(self.calls) % self.fail_every == 0:
            raise RuntimeError("the queue was emptied")
        return StatevectorSampler(seed=self.seed).run(pubs)


class Custom:
    """Anything with num_qubits, num_parameters and to_qiskit is measured."""

    num_qubits, num_parameters = 3, 3

    def to_qiskit(self):
        from qiskit.circuit import ParameterVector, QuantumCircuit

        a = ParameterVector("a", 3)
        circuit = QuantumCircuit(3)
        circuit.h(range(3))
        circuit.ry(a[0], 0)
        circuit.cry(2 * a[1] - a[0] + 0.3, 0, 1)
        circuit.rxx(a[2], 1, 2)
        circuit.iswap(0, 2)
        circuit.u(a[1], a[2], 0.1, 1)
        circuit.cu(a[0], 0.2, a[1], 0.4, 1, 2)
        circuit.rx(-a[2] / 3, 0)
        return circuit

    def probabilities(self, angles):
        from qiskit.quantum_info import Statevector

        return Statevector(self.to_qiskit().assign_parameters(angles)).probabilities()


def expected_rows(program, circuit, angles, rule, seed=0, **kw):
    """A rule's gradient where every expectation is exact, by Qiskit's state of the program."""
    from qiskit.quantum_info import Statevector

    from qnnw.circuit.devices.gradients import rows_of

    options = {"fraction": 0.5, "step": 1e-4, "directions": 1} | kw
    rows = rows_of(rule, program, len(angles), seed, **options)
    measured = program.to_qiskit().remove_final_measurements(inplace=False)
    found = [
        Statevector(measured.assign_parameters(row)).probabilities()
        for row in program.slots(angles) + rows.shifts
    ]
    return rows.back @ np.array(found)


@given(num_qubits=st.integers(1, 5), reps=st.integers(0, 3), seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
@pytest.mark.property
def test_parameter_shift_is_the_jacobian(num_qubits, reps, seed):
    ansatz = qnnw.EfficientSU2(num_qubits, reps)
    angles, program = ansatz.random_angles(seed), Program.of(ansatz)
    found = expected_rows(program, ansatz, angles, "parameter_shift")
    np.testing.assert_allclose(found, ansatz.jacobian(angles).T, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(program.live, ansatz.live_angles)


def test_angles_that_are_used_many_times():
    circuit, angles = Custom(), np.array([0.4, -1.2, 2.1])
    program = Program.of(circuit)
    steps = 1e-6 * np.eye(3)
    found = expected_rows(program, circuit, angles, "parameter_shift")
    wanted = [
        (circuit.probabilities(angles + h) - circuit.probabilities(angles - h)) for h in steps
    ]
    np.testing.assert_allclose(found, np.array(wanted) / 2e-6, rtol=0, atol=1e-8)
    halves = [
        expected_rows(program, circuit, angles, "random_half", s, fraction=1 / 3) for s in range(60)
    ]
    drawn = [np.flatnonzero(np.abs(half).max(axis=1)).tolist() for half in halves]
    assert {tuple(one) for one in drawn} == {(0,), (1,), (2,)}
    for half, (one,) in zip(halves, drawn, strict=True):
        np.testing.assert_allclose(half[one], 3 * found[one], rtol=0, atol=1e-12)


def test_random_parts_and_directions_have_the_gradient_for_their_mean():
    ansatz = qnnw.EfficientSU2(2, 1)
    angles, program = ansatz.random_angles(3), Program.of(ansatz)
    wanted = ansatz.jacobian(angles).T
    halves = np.array(
        [expected_rows(program, ansatz, angles, "random_half", s) for s in range(400)]
    )
    ways = np.array([expected_rows(program, ansatz, angles, "spsa", s) for s in range(400)])
    for found in (halves, ways):
        spread = found.std(axis=0) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - wanted) <= 5 * spread + 1e-7)
    # Of 6 angles that matter, 3 are drawn.
    assert {int(np.any(half != 0, axis=1).sum()) for half in halves} == {3}


def test_outcomes_come_back_in_the_circuits_order():
    ansatz = qnnw.EfficientSU2(5, 1, "full")
    angles = ansatz.random_angles(1)
    sampler = devices.named("aer", shots=400_000)
    from qiskit.providers.fake_provider import GenericBackendV2

    # A line of qubits other than the circuit's: they are routed, and swapped on the way.
    pairs = [[2, 0], [0, 4], [4, 1], [1, 3]]
    line = GenericBackendV2(5, ["cx", "rz", "sx", "x"], coupling_map=pairs, noise_info=False)
    routed = devices.Sampler(sampler._runner._sampler, backend=line, shots=400_000)
    assert routed.prepared(ansatz).about["two_qubit_gates"] > 10
    exact = ansatz.probabilities(angles)
    for one in (sampler, routed):
        found = one.probabilities(ansatz, angles, 7)
        assert np.sum((found - exact) ** 2 / exact) * 400_000 < 31 + 5 * np.sqrt(62)
    # 9 qubits are read in two bytes.
    wide = qnnw.EfficientSU2(9, 0)
    exact = wide.probabilities(wide.random_angles(2))
    found = devices.Sampler(Ideal(), shots=20_000).probabilities(wide, wide.random_angles(2), 0)
    assert np.sum((found - exact) ** 2 / exact) * 20_000 < 511 + 5 * np.sqrt(1022)


def test_one_job_a_step_and_as_few_as_limits_allow():
    ansatz, calls = qnnw.EfficientSU2(2, 1), []
    angles = ansatz.random_angles(0)
    sampler = devices.Sampler(Ideal(calls=calls), shots=100)
    probabilities, pullback = sampler.forward(ansatz, angles, 3)
    # 6 of 8 angles change a probability.
    assert calls == [[(1, 100), (12, 100)]]
    assert pullback(np.ones(4)).shape == (8,)
    np.testing.assert_array_equal(sampler.probabilities(ansatz, angles, 3), probabilities)
    assert len(calls) == 1
    calls.clear()
    limited = devices.Sampler(Ideal(calls=calls), shots=100, max_circuits=5, max_shots=60)
    limited.forward(ansatz, angles, 3)
    once = [[(1, 50), (4, 50)], [(5, 50)], [(3, 50)]]
    assert calls == once + once
    line = limited.journal.lines()[-1]
    assert (line["circuits"], line["shots"], len(line["jobs"])) == (13, 100, 6)


def test_failed_jobs_go_again_and_then_are_named():
    ansatz = qnnw.EfficientSU2(2, 1)
    angles = ansatz.random_angles(0)
    whole = devices.Sampler(Ideal, shots=50).forward(ansatz, angles, 1)
    flaky = devices.Sampler(Ideal(fail_every=2, seed=None), shots=50, wait=0)
    for seed in range(4):
        flaky.forward(ansatz, angles, seed)
    failures = [job.get("failures") for line in flaky.journal.lines()[1:] for job in line["jobs"]]
    assert failures.count(["RuntimeError: the queue was emptied"]) == 3
    np.testing.assert_array_equal(
        devices.Sampler(Ideal, shots=50).forward(ansatz, angles, 1)[0], whole[0]
    )
    dead = devices.Sampler(Ideal(fail_every=1), shots=50, retries=2, wait=0)
    with pytest.raises(
        devices.DeviceError, match="failed 3 times, at last by RuntimeError: the queue"
    ):
        dead.probabilities(ansatz, angles, 0)


def config(**more):
    settings = {"backend": "statevector", "shots": 64, "epochs": 4, "batch_size": 50, "threads": 1}
    return TrainConfig("iris", reps=1).changed(**(settings | more))


def decided(folder):
    """What a run's folder says, but for times and job numbers."""
    result = json.loads((folder / "result.json").read_text())
    model = (folder / "model.safetensors").read_bytes()
    return {
        n: v
        for n, v in result.items()
        if "second" not in n and n not in ("run_dir", "sha256", "jobs", "circuits", "measurements")
    }, model


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    result = start(config(), tmp_path_factory.mktemp("whole"))
    from pathlib import Path

    return Path(result["run_dir"])


def test_a_run_says_what_measured_it(finished):
    lines = [json.loads(line) for line in (finished / "jobs.jsonl").read_text().splitlines()]
    about = lines[0]["device"]
    assert about["depth"] > 5
    assert about["qubits"] == list(range(8))
    assert about["versions"]["qiskit"] == qiskit.__version__
    assert all(line["jobs"][0]["id"] for line in lines[1:])
    result = json.loads((finished / "result.json").read_text())
    assert result["backend"] == "statevector"
    assert result["measurements"] == 64 * sum(line["circuits"] for line in lines[1:])
    # What nobody can ask for again is let go.
    assert len(list((finished / "counts").iterdir())) == 1


def test_every_fifth_job_fails_and_the_run_ends_the_same(finished, tmp_path, monkeypatch):
    from qiskit.primitives import StatevectorSampler

    calls = []
    run = StatevectorSampler.run

    def flaky(self, pubs, **more):
        calls.append(1)
        if len(calls) % 5 == 0:
            raise RuntimeError("the queue was emptied")
        return run(self, pubs, **more)

    monkeypatch.setattr(StatevectorSampler, "run", flaky)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    from pathlib import Path

    folder = Path(start(config(), tmp_path)["run_dir"])
    assert len(calls) > 10
    assert decided(folder) == decided(finished)


@pytest.mark.slow
def test_a_killed_run_measures_only_the_step_under_way_again(finished, tmp_path):
    code = (
        "from test_devices import config; from qnnw.training.runs import start; import sys;"
        "start(config(), sys.argv[1])"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(finished.parents[0]), *sys.path])}
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env)
    jobs = 0
    while jobs < 7:
        assert child.poll() is None
        time.sleep(0.01)
        jobs = sum(p.read_bytes().count(b"\n") for p in tmp_path.glob("*/jobs.jsonl"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    (folder,) = tmp_path.iterdir()
    resume(folder)
    assert decided(folder) == decided(finished)
    whole = json.loads((finished / "result.json").read_text())["circuits"]
    assert whole <= json.loads((folder / "result.json").read_text())["circuits"] <= whole + 49


@pytest.mark.slow
def test_evaluating_a_run_by_measuring_its_weights(finished, tmp_path):
    exact = start(TrainConfig("iris", reps=1).changed(epochs=30, threads=1), tmp_path)["run_dir"]
    plain = evaluate_run(exact)
    found = evaluate_run(exact, backend="aer", shots=2**20, repeats=2)
    assert found["accuracy"] == pytest.approx(plain["accuracy"], abs=0.021)
    assert found["repeats"] == 2
    assert found["backend"] == "aer"
    noisy = evaluate_run(exact, noise="depolarizing=1,readout=0.1", shots=1000)
    assert noisy["loss"] > plain["loss"]
    with pytest.raises(ValueError, match="`repeats` is 2"):
        evaluate_run(exact, repeats=2)


def test_a_source_is_made_again_where_its_backend_has_a_name():
    ansatz, weight_map = qnnw.EfficientSU2(3, 1), qnnw.WeightMap(7, 0, mapping="sqrt")
    measured = devices.named("statevector", shots=200, gradient="twin")
    source = CircuitSource(ansatz, weight_map, execution=measured)
    parameters = {name: group.start for name, group in source.groups.items()}
    again = from_description(source.describe())
    np.testing.assert_array_equal(source.weights(parameters, 3), again.weights(parameters, 3))
    assert source.shots == 200
    with pytest.raises(AttributeError, match="execution"):
        source.shots = 3
    unnamed = CircuitSource(ansatz, weight_map, execution=devices.Sampler(Ideal(), shots=10))
    with pytest.raises(ValueError, match="`sampler` is an object"):
        unnamed.describe()
    with pytest.raises(ValueError, match="`shots` is 5"):
        CircuitSource(ansatz, weight_map, execution=measured, shots=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": None}, "`shots` is none"),
        ({"backend": "ibmq"}, "`backend` is 'ibmq'"),
        ({"backend": None, "gradient": "spsa"}, "`gradient` is 'spsa'; it needs a backend"),
        ({"noise": "fake_oslo"}, "`noise` is 'fake_oslo'; it needs"),
        ({"backend": None, "noise": "readout=2"}, "`readout`"),
        ({"backend": None, "noise": "gates=2"}, "`noise` is 'gates=2'"),
        ({"backend": None, "shots": None, "mitigate": "m3"}, "`mitigate` is 'm3'"),
        ({"fraction": 0.2}, "`fraction` is 0.2"),
        ({"trajectories": 3}, "`trajectories` is 3"),
        ({"source": "frozen", "shots": None, "backend": "aer"}, "`"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    for missing in ("qiskit_aer", "qiskit_ibm_runtime.fake_provider"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            with pytest.raises(qnnw.MissingExtraError, match=r"'fake_oslo' needs .*qnnw\[device\]"):
                devices.named("fake_oslo", shots=10)
    with pytest.raises(devices.BackendError, match=r"there are .*fake_montreal"):
        devices.named("fake_nowhere", shots=10)


def test_ibms_primitive_runs_a_fake_backend():
    from qiskit_ibm_runtime import SamplerV2

    from qnnw.circuit.devices.backends import fake_backend

    ansatz = qnnw.EfficientSU2(3, 1)
    angles = ansatz.random_angles(0)
    sampler = devices.Sampler(SamplerV2(mode=fake_backend("fake_montreal")), shots=4000)
    found, pullback = sampler.forward(ansatz, angles, 0)
    np.testing.assert_allclose(found, ansatz.probabilities(angles), rtol=0, atol=0.06)
    cotangent = np.arange(8.0)
    exact = ansatz.probabilities_vjp(angles, cotangent)
    np.testing.assert_allclose(pullback(cotangent), exact, rtol=0, atol=0.3)
    assert sampler.prepared(ansatz).about["calibrated"].startswith("2021-03-15")
