"""Data sets and the networks that go with them: a registry, and a user's own files."""

from __future__ import annotations

from qnnw._common.lazy import lazily
from qnnw.data.registry import load, names, network, register

__all__ = ["load", "names", "network", "register"]

# What needs torch is imported when it is first used.
__getattr__, __dir__ = lazily(
    __name__, {"Dataset": "datasets", "DatasetError": "datasets"}, tuple(__all__)
)
