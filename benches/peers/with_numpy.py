"""NumPy's multinomial: sampling only."""

from __future__ import annotations

import numpy as np
from common import Job, Variant, sampling_state

PACKAGES = ("numpy",)
NOTE = "chooses its instruction set at run time"


def variants(job: Job, threads: int) -> list[Variant]:
    if job.task != "sampling" or threads > 1:
        return []
    probabilities = sampling_state(job)[1]
    generator = np.random.default_rng(0)
    return [Variant("", lambda: lambda _: generator.multinomial(job.shots, probabilities))]
