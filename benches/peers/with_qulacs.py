"""qulacs: float64 only; its rotations turn the other way round.

A parametric circuit is built once and given new angles; against it stand circuits built anew in
every call: gate by gate, the same after `optimize_light`, and with RY and RZ joined in one U3.
The gradient is that of <bistate|psi> with bistate = cotangent * psi, by `backprop_inner_product`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import qulacs
import qulacs_core
from common import Array, Job, Variant, ladder, layers, sampling_state, squared, used_gates
from qulacs.circuit import QuantumCircuitOptimizer

PACKAGES = ("qulacs",)
BINARY = qulacs_core.__file__
NOTE = "its wheel on PyPI is built for SSE2, without AVX2 and FMA; built from source it has both"


def variants(job: Job, threads: int) -> list[Variant]:
    del threads  # OMP_NUM_THREADS, set before this process began
    if job.precision != "float64":
        return []
    if job.task == "sampling":
        return [Variant("sampling + bincount", partial(sampler, job))]
    if job.task == "gradient":
        return [Variant("backprop_inner_product", partial(gradient, job))]
    return [
        Variant("parametric circuit", partial(forward, job)),
        Variant("new circuit", partial(rebuilt, job, joined=False, light=False)),
        Variant("new circuit, optimize_light", partial(rebuilt, job, joined=False, light=True)),
        Variant("new circuit, U3", partial(rebuilt, job, joined=True, light=False)),
    ]


def parametric(job: Job) -> qulacs.ParametricQuantumCircuit:
    circuit = qulacs.ParametricQuantumCircuit(job.num_qubits)
    add = {
        "h": lambda qubit: circuit.add_H_gate(qubit),
        "cx": lambda *pair: circuit.add_CNOT_gate(*pair),
        "ry": lambda qubit: circuit.add_parametric_RY_gate(qubit, 0.0),
        "rz": lambda qubit: circuit.add_parametric_RZ_gate(qubit, 0.0),
    }
    for name, qubits, _ in used_gates(job):
        add[name](*qubits)
    return circuit


def set_angles(job: Job, circuit: qulacs.ParametricQuantumCircuit, angles: Array) -> None:
    for index, angle in enumerate((-angles[: job.used]).tolist()):
        circuit.set_parameter(index, angle)


def forward(job: Job):
    circuit, state = parametric(job), qulacs.QuantumState(job.num_qubits)

    def call(angles: Array) -> Array:
        set_angles(job, circuit, angles)
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return squared(state.get_vector())

    return call


def rebuilt(job: Job, joined: bool, light: bool):
    state, pairs = qulacs.QuantumState(job.num_qubits), ladder(job)

    def call(angles: Array) -> Array:
        circuit = qulacs.QuantumCircuit(job.num_qubits)
        for qubit in range(job.num_qubits):
            circuit.add_H_gate(qubit)
        for layer, (ry, rz) in enumerate(zip(*layers(job, angles), strict=True)):
            last = layer == job.reps
            for qubit, (theta, phi) in enumerate(zip(ry, rz, strict=True)):
                if joined:
                    circuit.add_U3_gate(qubit, theta, phi, 0.0)
                else:
                    circuit.add_RY_gate(qubit, -theta)
                    if not last:
                        circuit.add_RZ_gate(qubit, -phi)
            for control, target in [] if last else pairs:
                circuit.add_CNOT_gate(control, target)
        if light:
            QuantumCircuitOptimizer().optimize_light(circuit)
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return squared(state.get_vector())

    return call


def gradient(job: Job):
    circuit = parametric(job)
    state, bistate = qulacs.QuantumState(job.num_qubits), qulacs.QuantumState(job.num_qubits)
    # A gate made once: loading cotangent * psi would pass through a list of Python numbers.
    times_cotangent = qulacs.gate.DiagonalMatrix(
        list(range(job.num_qubits)), job.cotangent().astype(complex)
    )

    def call(angles: Array) -> Array:
        set_angles(job, circuit, angles)
        state.set_zero_state()
        circuit.update_quantum_state(state)
        bistate.load(state)
        times_cotangent.update_quantum_state(bistate)
        result = np.zeros(len(angles))
        # d(sum c p) = 2 Re<c psi|d psi>; the sign undoes the sense of rotation.
        result[: job.used] = -2 * np.array(circuit.backprop_inner_product(bistate))
        return result

    return call


def sampler(job: Job):
    state = qulacs.QuantumState(job.num_qubits)
    state.load(sampling_state(job)[0].tolist())
    size = 2**job.num_qubits
    return lambda seed: np.bincount(state.sampling(job.shots, seed), minlength=size)
