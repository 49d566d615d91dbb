"""The processes of the peers: one for each and each number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# What to install for each.
PEERS = {
    "qnnw": "qnnw",
    "torch": "torch",
    "qulacs": "qulacs",
    "lightning": "pennylane-lightning",
    "aer": "qiskit-aer",
    "qsim": "qsimcirq",
    "numpy": "numpy",
}
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "QULACS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)

# Marks a peer that comes from a folder of its own.
OWN = " (own build)"

Key = tuple[str, int]


class Pool:
    """Started workers; a peer that is missing or dies is left out with a line."""

    def __init__(
        self, peers: list[str] | None, threads: list[int], builds: dict[str, str] | None = None
    ) -> None:
        wanted = {peer: "" for peer in PEERS if peers is None or peer in peers or peer == "qnnw"}
        wanted |= {f"{peer}{OWN}": folder for peer, folder in (builds or {}).items()}
        # All are started before any is waited for: their imports take seconds.
        self.processes = {
            (peer, count): start(peer.removesuffix(OWN), count, folder)
            for peer, folder in wanted.items()
            for count in threads
        }
        self.described: dict[str, dict[str, Any]] = {}
        for key in list(self.processes):
            answer = self.read(key)
            if "missing" in answer:
                self.processes.pop(key).wait()
                if key[1] == threads[0]:
                    print(
                        f"{key[0]} is left out ({answer['missing']}): "
                        f"python -m pip install {PEERS[key[0].removesuffix(OWN)]}\n"
                    )
            elif "packages" in answer:
                self.described[key[0]] = answer

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def present(self) -> list[Key]:
        """Peers and numbers of threads that are still there."""
        return list(self.processes)

    def ask(self, key: Key, request: dict[str, Any]) -> dict[str, Any]:
        """One request and its answer."""
        if key not in self.processes:
            return {}
        stream = self.processes[key].stdin
        assert stream is not None
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        return self.read(key)

    def read(self, key: Key) -> dict[str, Any]:
        """The next answer."""
        stream = self.processes[key].stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            code = self.processes.pop(key).wait()
            return {"error": f"its process ended with code {code}; it is left out from here on"}
        return json.loads(line)


def start(peer: str, threads: int, build: str) -> subprocess.Popen[str]:
    environment = dict(os.environ, PYTHONWARNINGS="ignore")
    environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    if build:
        path = [build, os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    folder = str(Path(__file__).resolve().parent)
    return subprocess.Popen(
        [sys.executable, folder, "--worker", peer, str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
