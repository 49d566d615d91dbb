"""Train classical neural networks through a quantum circuit.

A network's M weights are read off the 2^N measurement probabilities of an EfficientSU2 circuit of
N = ceil(log2 M) qubits; only the circuit's angles and the scale gamma are trained (Liu et al. 2024,
"Training classical neural networks by quantum machine learning").

Importing this package needs NumPy and SciPy only. Networks, datasets, training and the command
line are in submodules that need ``pip install 'qnnw[train]'``.
"""

from qnnw._extras import MissingExtraError
from qnnw.ansatz import EfficientSU2
from qnnw.generate import (
    generate_weights,
    generate_weights_vjp,
    generate_weights_with_vjp,
)
from qnnw.mapping import WeightMap, probs_to_weights
from qnnw.runtime import build_info, get_num_threads, set_num_threads
from qnnw.sampling import sample_counts

__version__: str = build_info()["version"]

__all__ = [
    "EfficientSU2",
    "MissingExtraError",
    "WeightMap",
    "__version__",
    "build_info",
    "generate_weights",
    "generate_weights_vjp",
    "generate_weights_with_vjp",
    "get_num_threads",
    "probs_to_weights",
    "sample_counts",
    "set_num_threads",
]
