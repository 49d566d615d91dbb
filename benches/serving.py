"""Steps that another process asks for; this release's and an earlier one's are asked alike.

Knows nothing of qnnw, of which there is another in each of these processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

import torch


def serve(steps: Mapping[str, Callable[[], object]]) -> None:
    """Read lines `KIND THREADS COUNT`; answer each with the seconds of so many steps, as JSON."""
    for line in sys.stdin:
        kind, threads, count = line.split()
        torch.set_num_threads(int(threads))
        times = []
        for _ in range(int(count)):
            start = time.perf_counter()
            steps[kind]()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)
