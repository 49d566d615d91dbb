"""Eight threads call everything in the core at once, on objects in common: bits must not change.

    python threads.py [ROUNDS]

Needs NumPy and qnnw alone, so that every wheel can be tried with it. Prints how many calls there
were, and whether there is a GIL; what differs from one thread's bits is an error.
"""

from __future__ import annotations

import copy
import pickle
import random
import sys
import threading

import numpy as np

import qnnw
from qnnw import _core
from qnnw.circuit import parameter

THREADS = 8
# One that a single thread evolves, and one that is shared out over a team.
SIZES = (5, 13)


def calls():
    """Every public function and method by name, without arguments; what they share is made here."""
    found = {
        "build_info": lambda: sorted(map(str, qnnw.build_info().items()))[1:],
        "get_num_threads": lambda: qnnw.get_num_threads() >= 1,
        "require_memory": lambda: _core.require_memory(1 << 20, "a little"),
        "walsh_hadamard": lambda: _core.walsh_hadamard(np.arange(64.0)),
        "refused": lambda: _refused(lambda: qnnw.EfficientSU2(3, 1).probabilities([np.nan] * 12)),
    }
    for qubits in SIZES:
        for dtype in ("float64", "float32"):
            found |= {f"{n} {qubits} {dtype}": f for n, f in _of_size(qubits, dtype).items()}
    return found


def _refused(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    raise AssertionError("not refused")


def _of_size(qubits, dtype):
    ansatz = qnnw.EfficientSU2(qubits, 2, "sca")
    gates = [("h", [q]) for q in range(qubits)]
    gates += [("rx", [q], [parameter(q)]) for q in range(qubits)]
    gates += [("cx", [q, q + 1]) for q in range(qubits - 1)]
    gates += [("rzz", [q, (q + 2) % qubits], [2 * parameter(0) + 0.5]) for q in range(qubits)]
    gates += [("ry", [q], [parameter(qubits + q)]) for q in range(qubits)]
    circuit = qnnw.Circuit(qubits, gates)
    rng = np.random.default_rng(qubits)
    batch = np.array([ansatz.random_angles(seed) for seed in range(3)])
    angles, values = batch[0], circuit.random_angles(1)
    cotangent = rng.normal(size=2**qubits)
    size = 2**qubits - 3
    weight_map = qnnw.WeightMap(size, seed=1, mapping="hadamard")
    by_weights = rng.normal(size=size)
    p = ansatz.probabilities(angles)
    told = {"dtype": dtype}
    _, back = ansatz.probabilities_with_vjp(angles, **told)
    with_vjp = qnnw.generate_weights_with_vjp
    chain = (ansatz, angles, weight_map, 1.2)
    _, weights_back = with_vjp(*chain, **told)
    _, gates_back = circuit.probabilities_with_vjp(values, **told)
    first, second, signs, r = _parts(weight_map)
    arrays = (first, second, signs, "hadamard", r)
    measured = (*chain, 500, 3)
    found = {
        "new": lambda: qnnw.EfficientSU2(qubits, 1).probabilities(angles[: 4 * qubits], **told),
        "new circuit": lambda: qnnw.Circuit(qubits, gates).probabilities(values, **told),
        "probabilities": lambda: ansatz.probabilities(batch, **told),
        "statevector": lambda: ansatz.statevector(angles, **told),
        "vjp": lambda: ansatz.probabilities_vjp(angles, cotangent, **told),
        "record": lambda: ansatz.probabilities_with_vjp(angles, **told)[1](cotangent),
        "pullback": lambda: back(cotangent),
        "of gates": lambda: circuit.probabilities(values, **told),
        "vjp of gates": lambda: circuit.probabilities_vjp(values, cotangent, **told),
        "pullback of gates": lambda: gates_back(cotangent),
        "record of gates": lambda: circuit.probabilities_with_vjp(values, **told)[1](cotangent),
        "weights": lambda: qnnw.generate_weights(*chain, **told),
        "measured": lambda: qnnw.generate_weights(*measured, **told),
        "weights vjp": lambda: qnnw.generate_weights_vjp(*chain, by_weights, **told),
        "weights pullback": lambda: weights_back(by_weights),
        "record weights": lambda: with_vjp(*measured, **told)[1](by_weights),
        "read": lambda: qnnw.probs_to_weights(p, weight_map, 0.7, **told),
        "by features": lambda: _core.weights_vjp(p, weight_map._core, 1.2, by_weights, 0.0),
        "counts": lambda: qnnw.sample_counts(p, 10_000, 5),
        "map": lambda: _parts(qnnw.WeightMap(size, seed=2, signs="random", mapping="hadamard")),
        "map again": lambda: _parts(pickle.loads(pickle.dumps(weight_map))),
        "map of arrays": lambda: _parts(qnnw.WeightMap.from_arrays(*arrays)),
        "angles": lambda: [ansatz.random_angles(4), ansatz.live_angles, circuit.live_angles],
        "same": lambda: [weight_map == copy.deepcopy(weight_map), ansatz.entangler_pairs(1)],
        "plan": lambda: [ansatz.plan(**told), circuit.plan()],
    }  # fmt: skip
    if qubits == SIZES[0] and dtype == "float64":
        found |= {
            "fisher": lambda: ansatz.fisher(angles),
            "jacobian": lambda: ansatz.jacobian(angles),
            "jacobian of gates": lambda: circuit.jacobian(values),
            "openqasm": lambda: ansatz.to_openqasm3(angles),
        }
    return found


def _parts(weight_map):
    return [weight_map.first, weight_map.second, weight_map.signs, weight_map.basis_signs]


def bits(value):
    """What a call gave, to the last bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return [bits(one) for one in value] if isinstance(value, list | tuple) else value


def main(rounds):
    """Run it; the number of calls."""
    everything = calls()
    expected = {name: bits(call()) for name, call in everything.items()}
    start, done, faults = threading.Barrier(THREADS + 1), threading.Event(), []

    def work(number):
        rng = random.Random(number)
        names = list(everything)
        start.wait()
        try:
            for _ in range(rounds):
                rng.shuffle(names)
                for name in names:
                    if bits(everything[name]()) != expected[name]:
                        raise AssertionError(f"{name} gave other bits in thread {number}")
        except BaseException as error:
            faults.append(error)

    def change():
        start.wait()
        for number in range(1 << 30):
            if done.wait(0.01):
                return
            qnnw.set_num_threads(1 + number % 4)

    before, switch = qnnw.get_num_threads(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # with a GIL, change hands as often as can be
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    changing = threading.Thread(target=change)
    for thread in (*threads, changing):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    changing.join()
    sys.setswitchinterval(switch)
    qnnw.set_num_threads(before)
    if faults:
        raise faults[0]
    return THREADS * rounds * len(everything)


if __name__ == "__main__":
    count = main(int(sys.argv[1]) if sys.argv[1:] else 20)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"{count} calls in {THREADS} threads, {'a' if gil else 'no'} GIL: the same bits")
