from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EfficientSU2",
    "GatesPullback",
    "Program",
    "Pullback",
    "WeightMap",
    "build_info",
    "generate_weights",
    "generate_weights_vjp",
    "get_num_threads",
    "probs_to_weights",
    "record_probabilities",
    "record_weights",
    "require_memory",
    "sample_counts",
    "set_num_threads",
    "walsh_hadamard",
    "weights_vjp",
]

@final
class EfficientSU2:
    def __new__(
        cls, num_qubits: int, reps: int, entanglement: str | list[tuple[int, int]]
    ) -> EfficientSU2: ...
    @property
    def num_qubits(self) -> int: ...
    @property
    def num_parameters(self) -> int: ...
    def checked_angles(self, angles: ArrayLike) -> NDArray[np.float64]: ...
    def entangler_pairs(self, block: int) -> list[tuple[int, int]]: ...
    def random_angles(self, seed: int) -> NDArray[np.float64]: ...
    def plan(self, single: bool) -> str: ...
    def statevector(self, angles: ArrayLike, single: bool) -> NDArray[Any]: ...
    def probabilities(self, angles: ArrayLike, single: bool) -> NDArray[Any]: ...
    def probabilities_vjp(
        self, angles: ArrayLike, cotangent: ArrayLike, single: bool
    ) -> NDArray[Any]: ...

@final
class WeightMap:
    def __new__(cls, num_weights: int, seed: int, signs: str, mapping: str) -> WeightMap: ...
    @staticmethod
    def from_arrays(
        first: ArrayLike,
        second: ArrayLike,
        signs: ArrayLike,
        mapping: str,
        basis_signs: ArrayLike | None,
    ) -> WeightMap: ...
    @property
    def num_weights(self) -> int: ...
    @property
    def num_qubits(self) -> int: ...
    @property
    def first(self) -> NDArray[np.int64]: ...
    @property
    def second(self) -> NDArray[np.int64]: ...
    @property
    def signs(self) -> NDArray[np.int8]: ...
    @property
    def basis_signs(self) -> NDArray[np.int8] | None: ...
    @property
    def mapping(self) -> str: ...
    def equals(self, other: WeightMap) -> bool: ...

def sample_counts(probabilities: ArrayLike, shots: int, seed: int) -> NDArray[np.int64]: ...
def probs_to_weights(
    probabilities: ArrayLike, weight_map: WeightMap, gamma: ArrayLike, single: bool
) -> NDArray[Any]: ...
def generate_weights(
    ansatz: EfficientSU2,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None,
    seed: int | None,
    single: bool,
) -> NDArray[Any]: ...
def generate_weights_vjp(
    ansatz: EfficientSU2,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    cotangent: ArrayLike,
    single: bool,
) -> tuple[NDArray[Any], NDArray[Any]]: ...

@final
class Pullback:
    def __call__(self, cotangent: ArrayLike) -> Any: ...

def record_probabilities(
    ansatz: EfficientSU2, angles: ArrayLike, single: bool
) -> tuple[NDArray[Any], Pullback]: ...
def record_weights(
    ansatz: EfficientSU2,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None,
    seed: int | None,
    single: bool,
) -> tuple[NDArray[Any], Pullback]: ...
def walsh_hadamard(values: ArrayLike) -> NDArray[np.float64]: ...
def require_memory(num_bytes: int, what: str) -> None: ...
def set_num_threads(num_threads: int) -> None: ...
def get_num_threads() -> int: ...
def build_info() -> dict[str, Any]: ...

@final
class Program:
    def __new__(
        cls,
        num_qubits: int,
        num_parameters: int,
        paulis: tuple[ArrayLike, ArrayLike, ArrayLike],
        constants: ArrayLike,
        terms: tuple[ArrayLike, ArrayLike],
        coefficients: ArrayLike,
        rows: ArrayLike,
        hadamards: int,
    ) -> Program: ...
    @property
    def num_qubits(self) -> int: ...
    @property
    def num_parameters(self) -> int: ...
    def walks(self, back: bool) -> list[tuple[int, list[tuple[int, int, int]]]]: ...
    def checked_angles(self, angles: ArrayLike) -> NDArray[np.float64]: ...
    def probabilities(self, angles: ArrayLike, single: bool) -> NDArray[Any]: ...
    def probabilities_vjp(
        self, angles: ArrayLike, cotangent: ArrayLike, single: bool
    ) -> NDArray[Any]: ...
    @staticmethod
    def record(
        program: Program, angles: ArrayLike, single: bool
    ) -> tuple[NDArray[Any], GatesPullback]: ...

@final
class GatesPullback:
    def __call__(self, cotangent: ArrayLike) -> NDArray[Any]: ...

def weights_vjp(
    probabilities: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    cotangent: ArrayLike,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
