"""qnnw itself."""

from __future__ import annotations

from functools import partial

import numpy as np
from common import Array, Job, Variant, sampling_state

import qnnw
from qnnw import _core

PACKAGES = ("qnnw",)
NOTE = "chooses its instruction set at run time"
BINARY = _core.__file__


def variants(job: Job, threads: int) -> list[Variant]:
    qnnw.set_num_threads(threads)
    ansatz = job.ansatz
    if job.task == "sampling":
        probabilities = sampling_state(job)[1]
        return [Variant("", lambda: partial(qnnw.sample_counts, probabilities, job.shots))]
    if not hasattr(ansatz, "probabilities_vjp"):
        raise RuntimeError("needs a newer qnnw: with `dtype` and `probabilities_vjp`")
    if job.task == "forward":
        return [Variant("", lambda: partial(ansatz.probabilities, dtype=job.real))]
    # As a training step would give it: in the precision that is asked for.
    cotangent = job.cotangent().astype(job.real)

    def gradient(angles: Array) -> Array:
        return np.asarray(ansatz.probabilities_vjp(angles, cotangent, dtype=job.real))

    return [Variant("", lambda: gradient)]
