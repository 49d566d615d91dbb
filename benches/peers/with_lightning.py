"""PennyLane-Lightning, in both precisions.

Documented: a QNode, and its device given a tape directly. Past the documents: the C++ state vector
of `lightning_qubit_ops` driven gate by gate, with RY and RZ joined in one Rot and the Hadamards
replaced by their result; and for the gradient its `VectorJacobianProduct`. Observables of the
documented gradient are sparse diagonal matrices, built once. Lightning's wire 0 is the most
significant bit.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pennylane as qml
import pennylane_lightning.lightning_qubit_ops as lightning
from common import Array, Job, Variant, ladder, layers, sampling_state, squared, used_gates
from pennylane import numpy as tracked
from scipy import sparse

PACKAGES = ("pennylane-lightning", "pennylane")
BINARY = lightning.__file__
NOTE = (
    "AVX2 and AVX-512 kernels are chosen at run time for CNOT and one-qubit matrices; gates of "
    "the wheel run on one thread (kernels with OpenMP are an option of the build, off there)"
)


def variants(job: Job, threads: int) -> list[Variant]:
    del threads  # OMP_NUM_THREADS, set before this process began
    if job.task == "sampling":
        if job.precision != "float64":
            return []
        return [Variant("generate_samples + bincount", partial(sampler, job), documented=False)]
    # Above, the QNode takes as long as its device: its overhead is that of the gates alone.
    small = job.num_qubits <= 13
    if job.task == "gradient":
        return [
            Variant("C++ VectorJacobianProduct", partial(vector_jacobian, job), documented=False),
            Variant("device, adjoint", partial(device_adjoint, job)),
            *([Variant("QNode, adjoint", partial(qnode_adjoint, job))] if small else []),
        ]
    return [
        Variant("C++ state, Rot", partial(forward_rot, job), documented=False),
        Variant("C++ state, applyMatrix", partial(forward_matrices, job), documented=False),
        Variant("device, tape", partial(device_forward, job)),
        *([Variant("QNode", partial(qnode_forward, job))] if small else []),
    ]


def kind(job: Job) -> str:
    return "C128" if job.precision == "float64" else "C64"


class State:
    """Lightning's own state vector, and what its gates need."""

    def __init__(self, job: Job) -> None:
        self.state = getattr(lightning, "StateVector" + kind(job))(job.num_qubits)
        self.uniform = np.full(2**job.num_qubits, 2 ** (-job.num_qubits / 2), job.complex)
        self.wires = [[wire] for wire in reversed(range(job.num_qubits))]
        self.pairs = [[job.num_qubits - 1 - qubit for qubit in pair] for pair in ladder(job)]
        self.reps = job.reps
        self.buffer = np.empty(2**job.num_qubits, job.complex)

    def ladder(self, layer: int) -> None:
        """The CNOTs after a layer, but the last."""
        if layer < self.reps:
            cnot = self.state.CNOT
            for pair in self.pairs:
                cnot(pair, False, [])

    def vector(self) -> Array:
        """The amplitudes, in a buffer used again."""
        self.state.getState(self.buffer)
        return self.buffer


def run_rot(target: State, job: Job, angles: Array) -> None:
    state, rot = target.state, target.state.Rot
    state.updateData(target.uniform)
    for layer, (ry, rz) in enumerate(zip(*layers(job, angles), strict=True)):
        for wire, theta, phi in zip(target.wires, ry, rz, strict=True):
            rot(wire, False, [0.0, theta, phi])
        target.ladder(layer)


def forward_rot(job: Job):
    target = State(job)
    measure = getattr(lightning, "Measurements" + kind(job))(target.state)

    def call(angles: Array) -> Array:
        run_rot(target, job, angles)
        return np.asarray(measure.probs())

    return call


def forward_matrices(job: Job):
    target = State(job)

    def call(angles: Array) -> Array:
        both = angles.reshape(job.reps + 1, 2, job.num_qubits) / 2
        cosine, sine, phase = np.cos(both[:, 0]), np.sin(both[:, 0]), np.exp(-1j * both[:, 1])
        entries = [cosine * phase, -sine * phase, sine / phase, cosine / phase]
        matrices = np.stack(entries, -1).astype(job.complex).reshape(*cosine.shape, 2, 2)
        target.state.updateData(target.uniform)
        apply = target.state.applyMatrix
        for layer, row in enumerate(matrices):
            for wire, matrix in zip(target.wires, row, strict=True):
                apply(matrix, wire, False)
            target.ladder(layer)
        return squared(target.vector())

    return call


def vector_jacobian(job: Job):
    target, cotangent = State(job), job.cotangent().astype(job.real)
    algorithms = lightning.algorithms
    make, product = (
        getattr(algorithms, name + kind(job))
        for name in ("create_ops_list", "VectorJacobianProduct")
    )
    # The sweep backwards may end at the first rotation: the Hadamards have no angles.
    gates = [gate for gate in used_gates(job) if gate[0] != "h"]
    names = [{"ry": "RY", "rz": "RZ", "cx": "CNOT"}[name] for name, _, _ in gates]
    wires = [[job.num_qubits - 1 - qubit for qubit in qubits] for _, qubits, _ in gates]
    no, none = [False] * len(gates), [[]] * len(gates)
    matrices = [np.zeros(0, job.complex)] * len(gates)
    trained = list(range(job.used))

    def call(angles: Array) -> Array:
        values = angles.tolist()
        params = [[] if index is None else [values[index]] for _, _, index in gates]
        run_rot(target, job, angles)
        ops = make(names, params, wires, no, matrices, none, none)
        result = np.zeros(len(angles))
        bra = target.vector() * cotangent
        result[: job.used] = 2 * np.real(product()(target.state, ops, bra, trained))
        return result

    return call


def operations(job: Job, angles: Array) -> list:
    """PennyLane's gates; inside a QNode they also queue themselves."""
    top, gates = job.num_qubits - 1, []
    for name, qubits, index in used_gates(job):
        if name == "cx":
            gates.append(qml.CNOT((top - qubits[0], top - qubits[1])))
        elif index is None:
            gates.append(qml.Hadamard(top - qubits[0]))
        else:
            gate = qml.RY if name == "ry" else qml.RZ
            gates.append(gate(angles[index], top - qubits[0]))
    return gates


def device(job: Job):
    return qml.device("lightning.qubit", wires=job.num_qubits, c_dtype=job.complex)


def observable(job: Job):
    matrix = sparse.diags(job.cotangent()).tocsr()
    return qml.SparseHamiltonian(matrix, wires=range(job.num_qubits))


def device_forward(job: Job):
    simulator, measured = device(job), [qml.probs(wires=range(job.num_qubits))]

    def call(angles: Array) -> Array:
        tape = qml.tape.QuantumScript(operations(job, angles.tolist()), measured)
        return np.asarray(simulator.execute(tape))

    return call


def qnode_forward(job: Job):
    def circuit(angles: Array):
        operations(job, angles)
        return qml.probs(wires=range(job.num_qubits))

    node = qml.QNode(circuit, device(job), diff_method=None)
    return lambda angles: np.asarray(node(angles))


def device_adjoint(job: Job):
    simulator, measured = device(job), [qml.expval(observable(job))]

    def call(angles: Array) -> Array:
        tape = qml.tape.QuantumScript(
            operations(job, angles.tolist()), measured, trainable_params=range(job.used)
        )
        result = np.zeros(len(angles))
        result[: job.used] = simulator.compute_derivatives(tape)
        return result

    return call


def qnode_adjoint(job: Job):
    diagonal = observable(job)

    def circuit(angles: Array):
        operations(job, angles)
        return qml.expval(diagonal)

    gradient = qml.grad(qml.QNode(circuit, device(job), diff_method="adjoint"))
    return lambda angles: np.asarray(gradient(tracked.array(angles, requires_grad=True)))


def sampler(job: Job):
    state = lightning.StateVectorC128(job.num_qubits)
    state.updateData(np.ascontiguousarray(sampling_state(job)[0]))
    measure = lightning.MeasurementsC128(state)
    wires = list(range(job.num_qubits))
    # `measure` doesn't keep the state alive: the call does.
    owned = [state, measure]
    place = (1 << np.arange(job.num_qubits)[::-1]).astype(np.uint64)

    def call(_: int) -> Array:
        bits = owned[1].generate_samples(wires, job.shots)
        return np.bincount((bits @ place).astype(np.int64), minlength=2**job.num_qubits)

    return call
