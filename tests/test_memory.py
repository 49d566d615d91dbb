"""How many state vectors a call holds at its peak, by the system's account of a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
import qnnw

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

qubits, call = 22, sys.argv[1]
ansatz = qnnw.EfficientSU2(qubits, 2, sys.argv[2])
angles, cotangent = ansatz.random_angles(0), np.ones(2**qubits)
small = qnnw.EfficientSU2(10, 2)
small.probabilities_vjp(small.random_angles(0), np.ones(2**10))
before = peak()
if call == "forward":
    ansatz.probabilities(angles)
else:
    ansatz.probabilities_vjp(angles, cotangent)
print((peak() - before) / (16 * 2**qubits))
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak"
)
@pytest.mark.parametrize(
    ("call", "entanglement", "states"),
    [
        # A ladder is walked in place: the state and the probabilities, the state and its adjoint.
        ("forward", "linear", 1.5),
        ("gradient", "linear", 2),
        ("forward", "circular", 2),
        ("gradient", "circular", 4),
    ],
)
def test_peak_memory(call, entanglement, states):
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, call, entanglement],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    # Lines between blocks are left out on purpose, 2 % of a state; threads have stacks and tiles.
    assert float(finished.stdout) <= states * 1.03 + 0.05
