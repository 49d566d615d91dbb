"""Torch's devices and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qnnw._common.extras import needs

with needs("train", "qnnw.training.evaluation"):
    import torch


def as_device(name: str | torch.device) -> torch.device:
    """A device that torch can use; a ``ValueError`` names another."""
    try:
        device = torch.device(name)
        # Back again: "meta" takes tensors, but holds no values.
        torch.empty(1, device=device).cpu()
    # What torch raises for a back end that it was built without, or whose module is not installed.
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"`device` is {str(name)!r}, which torch cannot use: {reason}") from error
    return device


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let every operator run on the thread that calls it; parallelism is across chunks."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
