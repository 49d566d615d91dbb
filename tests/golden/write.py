"""What a release writes, kept for ever, and what every later one must read from it.

    python tests/golden/write.py            the files of this release, in a folder of its version
    python tests/golden/write.py FOLDER     what is read of the folder of another one

What is read is kept beside the folder, as VERSION.json.
Run once for a release, from a clean build of it; a folder that is there is never written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn

import qnnw
from qnnw.circuit import parameter
from qnnw.circuit.devices.journal import Journal
from qnnw.nn import QuantumTrain, pretrained, tensorfile
from qnnw.sweep.ledger import Ledger, SweepFolder, Trial, without_place
from qnnw.training.export import model_of
from qnnw.training.presets import preset
from qnnw.training.record import RunFolder
from qnnw.training.runs import train_at
from qnnw.training.stored import config_of, read_model
from qnnw.training.trainer import Reporter

HERE = Path(__file__).resolve().parent
FOLDERS = {"0.1.0": HERE.parent / "releases" / "0.1.0", "0.2.0": HERE / "0.2.0"}
# A gate of each number of qubits and angles, in a circuit for the 466 weights of the network.
GATES = [("u3", [k], [parameter(k), -0.5, 2 * parameter(9)]) for k in range(9)]
GATES += [("cx", [k, (k + 1) % 9]) for k in range(9)]
GATES += [("ry", [k], [parameter(k) + 0.25]) for k in range(9)] + [("ccx", [0, 4, 8])]
RECIPES = {
    "recipe": {"reps": 2},
    "recipe_tensors": {
        "reps": 1, "entanglement": "sca", "mapping": "sqrt", "gamma": "per_tensor",
        "signs": "random", "dtype": "float32",
    },
    "recipe_circuit": {"circuit": qnnw.Circuit(9, GATES), "mapping": "hadamard"},
    "recipe_trained": {"reps": 6, "trained": 40},
    "recipe_shots": {"reps": 1, "mapping": "paper", "scale": "none", "shots": 500},
}  # fmt: skip


def network():
    """The network of all models; values that no random generator decides."""
    made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
    with torch.no_grad():
        for number, values in enumerate(made.parameters()):
            values.copy_(torch.linspace(-1, 1 + number, values.numel()).view_as(values))
    return made


class Stopped(Reporter):
    """Interrupts a run after its first round."""

    def round_finished(self, line):
        raise KeyboardInterrupt


def write(folder):
    """All kinds of files. Paths in them are relative, so that they tell of no machine."""
    folder.mkdir()
    os.chdir(folder)
    config = preset("iris", "adam").changed(epochs=2, reps=1)
    train_at("run", config)
    with suppress(KeyboardInterrupt):
        train_at("cut_off", preset("iris", "spsa").changed(periods=3, angle_evals=4), Stopped())
    settings = {seed: config.changed(seed=seed).to_dict() for seed in range(3)}
    trials = [Trial(f"seed{seed}", {"seed": seed}, own) for seed, own in settings.items()]
    sweep = SweepFolder.create("sweep", trials, {"dataset": "iris", "grid": "seeds=0..2"})
    ledger = Ledger(sweep)
    result = train_at(sweep.trial_path(trials[0]), config.changed(seed=0))
    ledger.add("finished", trials[0], result=without_place(result))
    ledger.add("died", trials[1], rounds=1, reason="killed by signal 9")
    ledger.add("failed", trials[2], error="MemoryError: the state of 40 qubits needs 16384 GiB")
    for name, settings in RECIPES.items():
        model = QuantumTrain(network(), seed=3, **settings)
        pretrained.save_recipe(model, f"{name}.safetensors")
        if name == "recipe":
            model.save_pretrained("saved")
    kept = QuantumTrain(network(), base="keep", reps=1, seed=5, target_parameters="3.*")
    with torch.no_grad():
        kept.numbers["gamma"].fill_(0.75)
    kept.save_pretrained("adapter")
    journal = Journal(Path())
    journal.note({"device": {"backend": "aer_simulator", "calibrated": None}})
    journal.put("0123456789abcdef", csr_array(np.array([[3, 0, 0, 5], [0, 8, 0, 0]])))
    for left in [*Path().rglob("history.png"), *Path().rglob(".lock")]:
        left.unlink()


def plain(value):
    """Numbers to the last bit, as JSON."""
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous()
        return [
            str(value.dtype),
            list(value.shape),
            value.reshape(-1).view(torch.uint8).numpy().tobytes().hex(),
        ]
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes().hex()]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def of_run(path):
    """Settings, state, history, result and model of a run, and its trained numbers."""
    run = RunFolder(path)
    settings = config_of(run).to_dict()
    stored = run.read_config()
    told = {name: settings[name] for name in stored["config"] if name in settings}
    model = model_of(path)
    return {
        "config": stored, "settings": told, "checkpoint": run.read_checkpoint(),
        "result": run.read_result(), "model": read_model(run, config_of(run)),
        "numbers": dict(model.numbers.items()), "draws": int(model.draws),
    }  # fmt: skip


def of_sweep(path):
    """Trials, and what has become of them."""
    sweep = SweepFolder(path)
    names = ("status", "deaths", "rounds", "result", "error")
    states = {n: {k: getattr(s, k) for k in names} for n, s in sweep.states().items()}
    content = json.loads(sweep.spec_path.read_bytes())
    # Settings that came later are none of the file's.
    written = {name for own in content.get("settings", {}).values() for name in own}
    written |= {name for trial in content["trials"] for name in trial["config"]}
    trials = [[t.name, t.axes, {k: t.config.get(k) for k in sorted(written)}] for t in sweep.trials]
    return {"about": sweep.about, "trials": trials, "states": states}


def of_model(model):
    """A model's numbers, and the weights that they make."""
    return {"numbers": dict(model.numbers.items()), "state": model.merge_and_unload().state_dict()}


def of_adapter(path):
    """The numbers of an adapter beside another, and the network that it changes."""
    model = QuantumTrain(network(), base="keep", reps=1, target_parameters="3.*")
    model.load_adapter(path, "golden")
    model.set_adapter("golden")
    return of_model(model)


def of_recipe(path):
    """The network of a recipe, its numbers and what else is in the file."""
    tensors, description = tensorfile.read(path)
    with warnings.catch_warnings():
        # With another instruction set, weights may differ in their last bits: see `made`.
        warnings.simplefilter("ignore", pretrained.RecipeWarning)
        made = pretrained.load_recipe(path, network())
    return {"tensors": tensors, "description": description, "state": made.state_dict()}


def read(folder):
    """Everything in a folder, by place."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.parent.relative_to(folder).as_posix()
        if path.name == "sweep.json":
            found[place] = of_sweep(path.parent)
        elif path.name == "checkpoint.npz":
            found[place] = of_run(path.parent)
        elif path.name == "jobs.jsonl":
            journal = Journal(path.parent)
            counts = {one.stem: journal.get(one.stem) for one in path.parent.glob("counts/*")}
            found["jobs"] = [journal.lines(), {k: one.toarray() for k, one in counts.items()}]
        elif "recipe" in path.name:
            found[path.relative_to(folder).as_posix()] = of_recipe(path)
        elif path.name == "model.safetensors" and "base" in tensorfile.read(path)[1]:
            found[place] = of_adapter(path.parent)
        elif path.name == "model.safetensors" and "targets" in tensorfile.read(path)[1]:
            found[place] = of_model(QuantumTrain.from_pretrained(network(), path.parent))
    return plain(found)


def digests(found):
    """SHA-256 of everything that was read, by place and what it is."""
    return {
        f"{place}: {what}": hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()
        for place, parts in found.items()
        for what, one in (parts.items() if isinstance(parts, dict) else enumerate(parts))
    }


def told(folder):
    """What a test holds later releases to; made weights are told of with the instruction set."""
    return {"simd": qnnw.build_info()["simd"], "read": digests(read(folder))}


if __name__ == "__main__":
    if not sys.argv[1:]:
        write(HERE / qnnw.__version__)
    folder = Path(sys.argv[1] if sys.argv[1:] else HERE / qnnw.__version__).resolve()
    (HERE / f"{folder.name}.json").write_text(json.dumps(told(folder), indent=1) + "\n")
