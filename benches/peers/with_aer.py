"""Qiskit Aer's state vector, in both precisions; it has no gradient.

Documented: `AerSimulator.run` on the bound circuit, with gate fusion as it comes and without.
Past the documents: the wrapper below `AerState`, whose gates are queued from Python without Qiskit
circuits, RY and RZ joined in one U. Aer takes threads from 14 qubits on; with several threads that
limit is also tried at 8.
"""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
from common import Array, Job, Variant, ladder, layers, sampling_state, squared, used_gates
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_aer import AerSimulator
from qiskit_aer.backends import controller_wrappers
from qiskit_aer.backends.controller_wrappers import AerStateWrapper

PACKAGES = ("qiskit-aer", "qiskit")
BINARY = controller_wrappers.__file__
NOTE = "chooses AVX2 kernels at run time"


def variants(job: Job, threads: int) -> list[Variant]:
    if job.task == "gradient" or (job.task == "sampling" and job.precision != "float64"):
        return []
    if job.task == "sampling":
        return [
            Variant("AerSimulator.run of a prepared state", partial(run_shots, job, threads)),
            Variant(
                "sample_counts of a prepared state",
                partial(sampler, job, threads),
                documented=False,
            ),
        ]
    limits = (14, 8) if threads > 1 and job.num_qubits < 14 else (14,)
    made = []
    for fused, limit in itertools.product((True, False), limits):
        name = f"fusion {'on' if fused else 'off'}" + (", threads from 8" if limit == 8 else "")
        made += [
            Variant(f"U gates, {name}", partial(forward_state, job, threads, fused, limit), False),
            Variant(f"AerSimulator, {name}", partial(forward_circuit, job, threads, fused, limit)),
        ]
    return made


def precision(job: Job) -> str:
    return "double" if job.precision == "float64" else "single"


def forward_circuit(job: Job, threads: int, fused: bool, limit: int):
    simulator = AerSimulator(
        method="statevector",
        precision=precision(job),
        max_parallel_threads=threads,
        statevector_parallel_threshold=limit,
        fusion_enable=fused,
    )
    parameters = ParameterVector("angle", job.used)
    circuit = QuantumCircuit(job.num_qubits)
    for name, qubits, index in used_gates(job):
        getattr(circuit, name)(*(qubits if index is None else (parameters[index], *qubits)))
    circuit.save_probabilities()

    def call(angles: Array) -> Array:
        # Binding here is faster than `parameter_binds` and than a circuit built anew.
        bound = circuit.assign_parameters(angles[: job.used])
        return np.asarray(simulator.run(bound, shots=1).result().data(0)["probabilities"])

    return call


def new_state(job: Job, threads: int, fused: bool, limit: int) -> AerStateWrapper:
    state = AerStateWrapper()
    settings = {
        "method": "statevector",
        "device": "CPU",
        "precision": precision(job),
        "max_parallel_threads": str(threads),
        "statevector_parallel_threshold": str(limit),
        "fusion_enable": "true" if fused else "false",
    }
    for name, value in settings.items():
        state.configure(name, value)
    state.allocate_qubits(job.num_qubits)
    state.initialize()
    return state


def forward_state(job: Job, threads: int, fused: bool, limit: int):
    pairs, every = ladder(job), list(range(job.num_qubits))

    def call(angles: Array) -> Array:
        state = new_state(job, threads, fused, limit)
        for qubit in every:
            state.apply_h(qubit)
        for layer, (ry, rz) in enumerate(zip(*layers(job, angles), strict=True)):
            for qubit, (theta, phi) in enumerate(zip(ry, rz, strict=True)):
                state.apply_u(qubit, theta, phi, 0.0)
            for pair in pairs if layer < job.reps else []:
                state.apply_cx(pair)
        state.flush()
        # The array is faster than the list of probabilities, but exists in double only.
        if job.precision == "float64":
            result = squared(state.move_to_ndarray())
        else:
            result = np.asarray(state.probabilities(every))
        state.clear()
        return result

    return call


def as_counts(job: Job, counts: dict[int, int]) -> Array:
    result = np.zeros(2**job.num_qubits, dtype=np.int64)
    result[list(counts)] = list(counts.values())
    return result


def sampler(job: Job, threads: int):
    every = list(range(job.num_qubits))
    state = new_state(job, threads, True, 14)
    state.apply_initialize(every, sampling_state(job)[0].tolist())
    state.flush()
    return lambda _: as_counts(job, state.sample_counts(every, job.shots))


def run_shots(job: Job, threads: int):
    simulator = AerSimulator(method="statevector", max_parallel_threads=threads)
    circuit = QuantumCircuit(job.num_qubits)
    circuit.set_statevector(sampling_state(job)[0])
    circuit.measure_all()

    def call(seed: int) -> Array:
        counts = simulator.run(circuit, shots=job.shots, seed_simulator=seed).result().data(0)
        return as_counts(job, {int(key, 16): n for key, n in counts["counts"].items()})

    return call
