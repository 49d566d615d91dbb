"""qsim: float32 only; it has no gradient.

Documented: a Cirq circuit built anew and `simulate_into_1d_array`. Past the documents: the C++
circuit that this translates to, filled directly, with RY and RZ joined in one matrix. Gates are
fused up to 2, 3, 4 or 5 qubits.
"""

from __future__ import annotations

from functools import partial

import cirq
import numpy as np
import qsimcirq
from common import Array, Job, Variant, ladder, layers, squared
from qsimcirq import qsim

PACKAGES = ("qsimcirq", "cirq-core")
BINARY = qsim.__file__
NOTE = "chooses its module for SSE, AVX2 or AVX-512 when imported"


def variants(job: Job, threads: int) -> list[Variant]:
    if job.task != "forward" or job.precision != "float32":
        return []
    direct = [
        Variant(f"C++ circuit, fused to {size}", partial(forward_direct, job, threads, size), False)
        for size in (2, 3, 4, 5)
    ]
    # Cirq's own time hides the size of fused gates where the state is small.
    sizes = (2,) if job.num_qubits < 14 else (2, 3, 4)
    return direct + [
        Variant(f"Cirq, fused to {size}", partial(forward_cirq, job, threads, size))
        for size in sizes
    ]


def forward_cirq(job: Job, threads: int, size: int):
    qubits = cirq.LineQubit.range(job.num_qubits)
    simulator = qsimcirq.QSimSimulator(
        qsimcirq.QSimOptions(max_fused_gate_size=size, cpu_threads=threads)
    )
    start = cirq.Moment(cirq.H.on_each(*qubits))
    block = [cirq.Moment(cirq.CX(qubits[c], qubits[t])) for c, t in ladder(job)]

    def call(angles: Array) -> Array:
        moments = [start]
        for layer, (ry, rz) in enumerate(zip(*layers(job, angles), strict=True)):
            moments.append(cirq.Moment([cirq.ry(a)(q) for a, q in zip(ry, qubits, strict=True)]))
            if layer < job.reps:
                turned = [cirq.rz(a)(q) for a, q in zip(rz, qubits, strict=True)]
                moments += [cirq.Moment(turned), *block]
        # Cirq's first qubit is the most significant bit.
        result = simulator.simulate_into_1d_array(cirq.Circuit(moments), qubit_order=qubits[::-1])
        return squared(result[1])

    return call


def forward_direct(job: Job, threads: int, size: int):
    options = qsimcirq.QSimOptions(max_fused_gate_size=size, cpu_threads=threads).as_dict()
    options["s"] = 1
    pairs, one = ladder(job), {"exponent": 1.0, "global_shift": 0.0}

    def call(angles: Array) -> Array:
        circuit, moment = qsim.Circuit(), 1
        circuit.num_qubits = job.num_qubits
        for qubit in range(job.num_qubits):
            qsim.add_gate(qsim.kHPowGate, 0, [qubit], one, circuit)
        for layer, row in enumerate(rotation_matrices(job, angles)):
            for qubit, matrix in enumerate(row):
                qsim.add_matrix_gate(moment, [qubit], matrix, circuit)
            for pair in pairs if layer < job.reps else []:
                moment += 1
                qsim.add_gate(qsim.kCXPowGate, moment, pair, one, circuit)
            moment += 1
        state = qsim.qsim_simulate_fullstate({**options, "c": circuit}, 0)
        return squared(state.view(np.complex64))

    return call


def rotation_matrices(job: Job, angles: Array) -> list[list[list[float]]]:
    """RZ RY for every layer and qubit: 8 real numbers, by rows."""
    ry, rz = (np.array(part) / 2 for part in layers(job, angles))
    cosine, sine, phase = np.cos(ry), np.sin(ry), np.exp(-1j * rz)
    entries = np.stack([cosine * phase, -sine * phase, sine / phase, cosine / phase], -1)
    return entries.view(np.float64).tolist()
