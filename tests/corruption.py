"""Damages a file in hundreds of ways and reads it each time; run by test_corruption.py.

    python corruption.py KIND FOLDER

FOLDER has what `made` made. Prints, as JSON, how many cases ended how: "typed" (an error of qnnw's
that names the file), "same" (the content that was written), or what must not be: "other",
"foreign", "slow"; with the first examples of these, and the peak of memory above the start.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from qnnw._common.errors import UserError
from qnnw.nn import QuantumTrain, pretrained
from qnnw.sweep.ledger import Ledger, SweepFolder, Trial
from qnnw.training.presets import preset
from qnnw.training.record import RunFolder
from qnnw.training.runs import evaluate_run, resume, start
from qnnw.training.stored import config_of, read_model

LIMIT_BYTES, LIMIT_SECONDS = 1 << 30, 10.0


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def made(folder):
    """A run, a sweep, a saved model and a recipe."""
    config = preset("iris", "spsa").changed(periods=2, angle_evals=2, gamma_evals=1, reps=1)
    result = start(config, folder / "runs")
    (folder / "runs" / Path(result["run_dir"]).name).rename(folder / "run")
    settings = [config.changed(seed=seed).to_dict() for seed in range(3)]
    trials = [Trial(f"seed{seed}", {"seed": seed}, one) for seed, one in enumerate(settings)]
    ledger = Ledger(SweepFolder.create(folder / "sweep", trials, {"grid": "seeds=0..2"}))
    ledger.add("finished", trials[0], result=result)
    ledger.add("died", trials[1], rounds=1, reason="killed")
    ledger.add("failed", trials[2], error="RuntimeError: no")
    ledger.add("again", trials[2])
    ledger.add("finished", trials[2], result=result)
    model = QuantumTrain(network(), reps=1)
    model.save_pretrained(folder / "saved")
    pretrained.save_recipe(model, folder / "recipe.safetensors")


def state_of(module):
    return {name: tensor.tolist() for name, tensor in module.state_dict().items()}


def checkpoint(folder):
    arrays, *rest = RunFolder(folder / "run").read_checkpoint()
    return [{name: array.tolist() for name, array in arrays.items()}, *rest]


def run_model(folder):
    run = RunFolder(folder / "run")
    return {n: tensor.tolist() for n, tensor in read_model(run, config_of(run)).items()}


def ledger_states(folder):
    return [vars(state) for state in SweepFolder(folder / "sweep").states().values()]


def sweep_spec(folder):
    sweep = SweepFolder(folder / "sweep")
    return [sweep.about, [vars(trial) for trial in sweep.trials]]


def saved(folder):
    return state_of(QuantumTrain.from_pretrained(network(), folder / "saved"))


def recipe(folder):
    return state_of(pretrained.load_recipe(folder / "recipe.safetensors", network()))


def resumed(folder):
    return resume(folder / "run")


KINDS = {
    "run-config": ("run/config.json", lambda folder: RunFolder(folder / "run").read_config()),
    "run-checkpoint": ("run/checkpoint.npz", checkpoint),
    "run-history": ("run/history.jsonl", lambda folder: RunFolder(folder / "run").read_history()),
    "run-model": ("run/model.safetensors", run_model),
    "run-evaluated": ("run/model.safetensors", lambda folder: evaluate_run(folder / "run")),
    "run-result": ("run/result.json", resumed),
    "sweep": ("sweep/sweep.json", sweep_spec),
    "ledger": ("sweep/ledger.jsonl", ledger_states),
    "saved-model": ("saved/model.safetensors", saved),
    "saved-config": ("saved/config.json", saved),
    "recipe": ("recipe.safetensors", recipe),
}
# A file that is not there is as one that was not written yet.
MISSING_IS_NEW = ("run-checkpoint", "run-history", "run-result", "ledger", "saved-config")


def damaged(content, rng):
    """The ways in which bytes are damaged: what was done, and what is then there."""
    size = len(content)
    for kept in sorted({0, 1, 2, size // 2, size - 2, size - 1, *rng.sample(range(size), 40)}):
        yield f"cut to {kept}", content[:kept]
    for mask in (0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80, 0xFF):
        for place in rng.sample(range(size), min(size, 30)):
            changed = bytearray(content)
            changed[place] ^= mask
            yield f"byte {place} ^ {mask:#x}", bytes(changed)
    for place in rng.sample(range(size), 20):
        yield (
            f"byte {place} doubled",
            content[:place] + content[place : place + 1] + content[place:],
        )
        yield f"byte {place} gone", content[:place] + content[place + 1 :]
    for length in (1, 8, 4096):
        place = rng.randrange(size)
        zeros = bytes(min(length, size - place))
        yield f"{length} zeros at {place}", content[:place] + zeros + content[place + length :]
    deep = b"[" * 100_000
    yield from {
        "random": rng.randbytes(size), "zeros": bytes(size), "ones": b"\xff" * size,
        "brackets": deep, "braces": b'{"a":' * 100_000, "both": deep + b"]" * 100_000,
        "nothing": b"{}", "list": b"[]", "null": b"null", "NaN": b'{"format": NaN}',
        "infinite": b'{"format": 1e999}', "twice": b'{"format": 1, "format": 1}',
        "large": b'{"format": ' + b"9" * 5000 + b"}", "text": b"hello", "after": content + b"\0",
        "before": b"\0" + content, "two": content + content,
        "header": (2**63).to_bytes(8, "little") + content[8:],
    }.items()  # fmt: skip


def instead(path, kind):
    """What else can lie in a file's place."""
    yield "a folder", lambda: path.mkdir()
    yield "a link to itself", lambda: path.symlink_to(path.name)
    yield "a link to zeros", lambda: path.symlink_to("/dev/zero")
    yield "a pipe", lambda: os.mkfifo(path)
    if kind not in MISSING_IS_NEW:
        yield "nothing", lambda: None
        yield "a link to nothing", lambda: path.symlink_to("gone")


def outcome(read, folder, expected):
    start_time = time.perf_counter()
    try:
        found = read(folder)
        end = "same" if found == expected else "other"
    except UserError as error:
        end = "typed" if str(folder) in str(error) else f"foreign: no file in {error}"
    except BaseException as error:
        end = f"foreign: {type(error).__name__}: {str(error)[:200]}"
    return end if time.perf_counter() - start_time < LIMIT_SECONDS else "slow"


def check(kind, folder):
    name, read = KINDS[kind]
    path = folder / name
    content = path.read_bytes()
    expected = read(folder)
    rng = random.Random(kind)
    counts, bad = {}, []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def count(what):
        end = outcome(read, folder, expected)
        # A line that a kill tore off is no damage: what it told, the trial's folder tells too.
        if kind == "ledger" and end == "other" and what.startswith("cut"):
            end = "torn"
        head = end.split(":")[0]
        counts[head] = counts.get(head, 0) + 1
        if head not in ("typed", "same", "torn") and len(bad) < 5:
            bad.append(f"{what}: {end}")

    for what, bytes_ in damaged(content, rng):
        path.write_bytes(bytes_)
        count(what)
    for what, make in instead(path, kind):
        path.unlink(missing_ok=True)
        make()
        count(what)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    path.write_bytes(content)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    return {"counts": counts, "bad": bad, "peak": peak}


if __name__ == "__main__":
    warnings.simplefilter("error")
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT_BYTES,) * 2)
    print(json.dumps(check(sys.argv[1], Path(sys.argv[2]))))
