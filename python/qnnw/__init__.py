"""Train classical neural networks through a quantum circuit (Liu et al. 2024).

A network's M weights are read off the 2^N probabilities of a circuit of N = ceil(log2 M) qubits;
only its angles and a scale are trained. ``import qnnw`` needs NumPy and SciPy only; what is
imported when it is first used needs ``pip install 'qnnw[train]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qnnw._common.extras import MissingExtraError
from qnnw._common.lazy import lazily
from qnnw._common.runtime import build_info, get_num_threads, set_num_threads
from qnnw.circuit import Circuit, EfficientSU2, sample_counts
from qnnw.weights import WeightMap, generate_weights, probs_to_weights
from qnnw.weights.functional import generate_weights_vjp, generate_weights_with_vjp

if TYPE_CHECKING:
    from qnnw import nn as nn
    from qnnw import sklearn as sklearn
    from qnnw.circuit import devices as devices
    from qnnw.nn import peft as peft
    from qnnw.nn.pretrained import load_recipe as load_recipe
    from qnnw.training.runs import train as train

__version__: str = build_info()["version"]

__all__ = [
    "Circuit", "EfficientSU2", "MissingExtraError", "WeightMap", "__version__", "build_info",
    "generate_weights", "generate_weights_vjp", "generate_weights_with_vjp", "get_num_threads",
    "probs_to_weights", "sample_counts", "set_num_threads",
]  # fmt: skip

_LAZY = {
    "nn": None, "sklearn": None, "devices": "circuit", "peft": "nn",
    "load_recipe": "nn.pretrained", "train": "training.runs",
}  # fmt: skip
__getattr__, __dir__ = lazily(__name__, _LAZY, tuple(__all__))
