"""Runner: pubs to counts, in as few jobs as the primitive's limits allow; failed ones go again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from qnnw._common.checks import integer, real
from qnnw._common.errors import UserError
from qnnw._common.seeds import derived_seed

# Longest wait between two tries, seconds.
LONGEST_WAIT = 300.0


class DeviceError(UserError, RuntimeError):
    """A device's job failed again and again, or gave something else than was asked for."""


class Runner:
    """Runs jobs on a SamplerV2.

    Parameters
    ----------
    sampler
        It, or a function from a seed to it.
    backend
        Whose limits hold where none are given.
    max_circuits, max_shots, retries, wait
        As for :class:`qnnw.devices.Sampler`.
    """

    def __init__(
        self,
        sampler: Any,
        backend: Any,
        max_circuits: int | None,
        max_shots: int | None,
        retries: int,
        wait: float,
    ) -> None:
        if not _runs(sampler) and not callable(sampler):
            raise TypeError(
                f"`sampler` is of type {type(sampler).__name__}; it must be a SamplerV2, or a "
                "function that takes a seed to one"
            )
        self._sampler = sampler
        self._circuits = _limit("max_circuits", max_circuits, backend, "max_circuits")
        self._shots = _limit("max_shots", max_shots, backend, "max_shots")
        self._retries = integer("retries", retries, 0)
        self._wait = real("wait", wait, least=0)

    def run(
        self, pubs: Sequence[tuple[Any, Any]], shots: int, seed: int, num_qubits: int
    ) -> tuple[list[csr_array], dict[str, Any]]:
        """Counts of every pub, shape (rows, 2**N), and a line for the record.

        Raises
        ------
        DeviceError
            A job failed in all of its tries.
        """
        start = time.time()
        totals = [csr_array((len(values), 2**num_qubits), dtype=np.int64) for _, values in pubs]
        jobs: list[dict[str, Any]] = []
        # As few portions as may be, nearly equal.
        count = 1 if self._shots is None else -(-shots // self._shots)
        for size in (shots // count + (number < shots % count) for number in range(count)):
            for batch in _batches([len(values) for _, values in pubs], self._circuits):
                parts = [(pubs[pub][0], pubs[pub][1][rows], size) for pub, rows in batch]
                # A job that is tried again has the seed that it had.
                number = derived_seed(seed, len(jobs)) % 2**31
                results, job = self._tried(parts, number, num_qubits)
                jobs.append(job)
                for (pub, rows), counts in zip(batch, results, strict=True):
                    part = counts.tocoo()
                    places = (part.row + rows.start, part.col)
                    totals[pub] += csr_array((part.data, places), shape=totals[pub].shape)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(start)),
            "seconds": round(time.time() - start, 3),
            "circuits": sum(len(values) for _, values in pubs),
            "shots": shots,
            "jobs": jobs,
        }
        return totals, line

    def _tried(
        self, pubs: list[tuple[Any, Any, int]], seed: int, num_qubits: int
    ) -> tuple[list[csr_array], dict[str, Any]]:
        failures: list[str] = []
        while True:
            try:
                sampler = self._sampler if _runs(self._sampler) else self._sampler(seed)
                job = sampler.run(pubs)
                result = job.result()
                break
            except Exception as error:  # a primitive may fail in any way
                failures.append(f"{type(error).__name__}: {error}"[:300])
                if len(failures) > self._retries:
                    raise DeviceError(
                        f"a job failed {len(failures)} times, at last by {failures[-1]}; what was "
                        "measured before is kept"
                    ) from error
                time.sleep(min(self._wait * 2 ** (len(failures) - 1), LONGEST_WAIT))
        found = [
            _counts(one, len(pub[1]), pub[2], num_qubits)
            for one, pub in zip(result, pubs, strict=True)
        ]
        about = {"id": str(job.job_id()), **({"failures": failures} if failures else {})}
        return found, about


def _runs(sampler: Any) -> bool:
    """Whether it is a SamplerV2 itself; a class of them makes one."""
    return hasattr(sampler, "run") and not isinstance(sampler, type)


def _limit(name: str, given: int | None, backend: Any, attribute: str) -> int | None:
    """A limit that is given, or the backend's own, if it has one."""
    if given is None:
        given = getattr(backend, attribute, None)
    return None if given is None else integer(name, given, 1)


def _batches(sizes: list[int], most: int | None) -> list[list[tuple[int, slice]]]:
    """Rows of the pubs, by job."""
    batches: list[list[tuple[int, slice]]] = [[]]
    room = most
    for pub, size in enumerate(sizes):
        start = 0
        while start < size:
            if room == 0:
                batches.append([])
                room = most
            count = size - start if room is None else min(room, size - start)
            batches[-1].append((pub, slice(start, start + count)))
            start += count
            room = None if room is None else room - count
    return batches


def _counts(result: Any, rows: int, shots: int, num_qubits: int) -> csr_array:
    """Counts of one pub, from its register ``c``."""
    packed = np.asarray(result.data.c.array)
    width = -(-num_qubits // 8)
    if packed.shape != (rows, shots, width):
        raise DeviceError(
            f"a job gave outcomes of shape {packed.shape}; {(rows, shots, width)} were asked for: "
            "rows, shots, bytes"
        )
    # The last byte has the first bits.
    powers = 256 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    outcomes = packed.astype(np.int64) @ powers
    places = outcomes + (np.arange(rows, dtype=np.int64) << num_qubits)[:, None]
    found, number = np.unique(places, return_counts=True)
    where = (found >> num_qubits, found & (2**num_qubits - 1))
    return csr_array((number.astype(np.int64), where), shape=(rows, 2**num_qubits))
