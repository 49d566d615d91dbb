"""Readout errors and their mitigation against Aer's noise model, at 10^6 shots.

    python benches/noise.py [circuits]

Of every random circuit the chance of Aer's counts under the probabilities computed here, and of the
corrected ones under the exact ones, by chi-square: right, they are uniform on [0, 1].
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2, kstest

import qnnw
from qnnw.circuit.devices import Noise
from qnnw.circuit.devices.readout import applied, mitigated

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from test_noise import aers_counts, chi_square, kron_of, random_readout

SHOTS = 1_000_000


def case(number):
    rng = np.random.default_rng(number)
    ansatz = qnnw.EfficientSU2(int(rng.integers(1, 8)), int(rng.integers(0, 4)))
    angles, n = ansatz.random_angles(number), ansatz.num_qubits
    readout = Noise(readout=random_readout(n, rng))
    matrices, exact = readout.matrices(n), ansatz.probabilities(angles)
    read, counts = applied(matrices, exact), aers_counts(ansatz, angles, readout, SHOTS, number)
    inverse = kron_of(np.linalg.inv(matrices))
    covariance = inverse @ (np.diag(read) - np.outer(read, read)) @ inverse.T / SHOTS
    off = mitigated("inverse", csr_array(counts[None].astype(np.int64)), matrices)[0] - exact
    return (
        chi_square(counts, read),
        chi2.sf(off @ np.linalg.pinv(covariance, rcond=1e-9) @ off, len(exact) - 1),
    )


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    chances = np.array([case(number) for number in range(count)])
    for name, values in zip(("readout", "its inverse"), chances.T, strict=True):
        print(
            f"{name}: least {values.min():.4f} of {count}, below 0.05: {np.sum(values < 0.05)}, "
            f"uniform by Kolmogorov-Smirnov: {kstest(values, 'uniform').pvalue:.2f}"
        )


if __name__ == "__main__":
    main()
