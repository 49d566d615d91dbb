"""Backends by name: ``aer``, ``statevector``, Qiskit's ``fake_…``, and IBM's ``ibm_…``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from qnnw._common.errors import UserError
from qnnw._common.extras import needs
from qnnw.circuit.devices.sampler import Sampler

KINDS = "aer, statevector, fake_NAME of qiskit_ibm_runtime, or ibm_NAME of your account"


class BackendError(UserError, ValueError):
    """There is no backend of that name."""


def check_name(name: str) -> str:
    """The name itself; whether it can be one, said without any import.

    Raises
    ------
    ValueError
        It cannot.
    """
    if name in ("aer", "statevector") or name.startswith(("fake_", "ibm_")):
        return name
    raise ValueError(f"`backend` is {name!r}; it must be {KINDS}")


def named(name: str, **settings: Any) -> Sampler:
    """A sampler by its backend's name.

    Parameters
    ----------
    name
        ``"statevector"``: Qiskit's StatevectorSampler. ``"aer"``: Aer's, without noise.
        ``"fake_montreal"`` and the like: Aer's with the noise, the gates and the couplings of a
        snapshot of a real device; these three run anywhere, and a seed decides their outcomes.
        ``"ibm_torino"`` and the like: a device of the account that qiskit_ibm_runtime has saved.
    settings
        As for :class:`qnnw.devices.Sampler`.

    Raises
    ------
    BackendError
        There is no such backend.
    ValueError
        The name can be none, or a setting is wrong.
    MissingExtraError
        Qiskit, Aer or its runtime is not installed.
    """
    check_name(name)
    if name == "statevector":
        with needs("device", "The backend 'statevector'"):
            from qiskit.primitives import StatevectorSampler
        return Sampler(lambda seed: StatevectorSampler(seed=seed), name=name, **settings)
    if name.startswith("ibm_"):
        return _of_account(name, settings)
    backend = None if name == "aer" else fake_backend(name)
    return Sampler(_simulated(name, backend), backend=backend, name=name, **settings)


def _simulated(name: str, backend: Any) -> Callable[[int], Any]:
    """Aer's sampler of a seed, with the noise of a backend."""
    with needs("device", f"The backend {name!r}"):
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel
        from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors
        from qiskit_aer.primitives import SamplerV2
    # Circuits side by side; the shots of one, never: their seeds would depend on the threads.
    threads = {"max_parallel_experiments": 0, "max_parallel_shots": 1}
    known: dict[frozenset[int], Any] = {}
    of_gates: list[Any] = []
    of_readings: list[Any] = []
    if backend is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of qubits whose T2 says more than 2 T1
            of_gates = basic_device_gate_errors(target=backend.target)
            of_readings = basic_device_readout_errors(target=backend.target)

    def simulator(used: frozenset[int]) -> Any:
        """Aer takes up all errors anew in every job: those of other qubits would be most of it."""
        if used not in known:
            model: Any = (
                None if backend is None else NoiseModel(basis_gates=backend.operation_names)
            )
            for gate, qubits, error in of_gates:
                if used.issuperset(qubits):
                    model.add_quantum_error(error, gate, qubits)
            for qubits, error in of_readings:
                if used.issuperset(qubits):
                    model.add_readout_error(error, qubits)
            known[used] = AerSimulator(noise_model=model, **threads)
        return known[used]

    def seeded(seed: int) -> Any:
        """A SamplerV2 for circuits that may lie on any qubits."""

        def run(pubs: list[Any]) -> Any:
            circuits = {id(pub[0]): pub[0] for pub in pubs}.values()
            places = (c.find_bit(q).index for c in circuits for one in c for q in one.qubits)
            return SamplerV2.from_backend(simulator(frozenset(places)), seed=seed).run(pubs)

        return SimpleNamespace(run=run)

    return seeded


def fake_backend(name: str) -> Any:
    """A snapshot of a device, by its name.

    Raises
    ------
    BackendError
        There is none of that name; the message has those that there are.
    """
    with needs("device", f"The backend {name!r}"):
        import qiskit_aer  # noqa: F401  (what the snapshots simulate by)
        from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of snapshots that nobody asked for
        found = {backend.name: backend for backend in FakeProviderForBackendV2().backends()}
    if name not in found:
        raise BackendError(f"`backend` is {name!r}; there are {', '.join(sorted(found))}")
    return found[name]


def _of_account(name: str, settings: dict[str, Any]) -> Sampler:
    with needs("device", f"The backend {name!r}"):
        from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2
    try:
        backend = QiskitRuntimeService().backend(name)
    except Exception as error:  # no account, no network, no such device
        raise BackendError(f"`backend` {name!r} cannot be reached: {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sampler = SamplerV2(mode=backend)
    return Sampler(sampler, backend=backend, name=name, **settings)
