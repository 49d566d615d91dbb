"""What the C library does with the memory that a training step frees."""

from __future__ import annotations

import ctypes
import sys

# Names of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees, as far as glibc can be told to.

    Every training step makes and frees tensors of a megabyte or more. glibc gives such memory back
    to the system and asks for it anew, and the system clears it page by page, which can take a good
    part of a step. It is for a process of one's own, such as the command line's: up to half a GiB
    more stays with it.

    Returns
    -------
    bool
        Whether the C library took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_M_TRIM_THRESHOLD, 512 << 20),
        (_M_MMAP_THRESHOLD, 32 << 20),
        (_M_TOP_PAD, 64 << 20),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)
