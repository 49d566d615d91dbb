"""How a circuit's probabilities are obtained where they are not computed exactly.

An object of these is given to the source that reads the circuit; nothing else knows of it::

    measured = qnnw.devices.named("fake_montreal", shots=4096, gradient="spsa", mitigate="m3")
    source = qnnw.weights.circuit.CircuitSource(ansatz, weight_map, execution=measured)
"""

from __future__ import annotations

from typing import Any

from qnnw.circuit.devices.backends import BackendError, named
from qnnw.circuit.devices.journal import Journal
from qnnw.circuit.devices.noise import Noise
from qnnw.circuit.devices.noisy import Noisy
from qnnw.circuit.devices.readout import readout_matrices
from qnnw.circuit.devices.running import DeviceError
from qnnw.circuit.devices.sampler import Sampler
from qnnw.circuit.execution import Execution

__all__ = [
    "BackendError",
    "DeviceError",
    "Execution",
    "Journal",
    "Noise",
    "Noisy",
    "Sampler",
    "execution_from",
    "named",
    "readout_matrices",
]


def execution_from(settings: dict[str, Any]) -> Execution:
    """What ``describe()`` of a :class:`Sampler` or :class:`Noisy` told, again.

    Raises
    ------
    KeyError, TypeError, ValueError
        The settings are of none.
    """
    values = dict(settings)
    kind = values.pop("kind", None)
    if kind == "sampler":
        return named(values.pop("name"), **values)
    if kind == "noisy":
        noise = values.pop("noise")
        return Noisy(noise if isinstance(noise, str) else Noise(**noise), **values)
    raise ValueError(f"`kind` of the execution is {kind!r}; it must be 'sampler' or 'noisy'")
