"""What is installed: dependencies, extras, stubs, and the wheel on a second Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import qnnw
from qnnw.training.export import export_run
from qnnw.training.presets import preset
from qnnw.training.runs import start

ROOT = Path(__file__).resolve().parent.parent

# Makes imports of these packages fail as if they were not installed.
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
EXTRAS = {
    "torch", "torchvision", "sklearn", "matplotlib", "rich", "typer", "safetensors", "qiskit",
}  # fmt: skip


def run_without(packages, script):
    code = BLOCK.format(blocked=packages) + script
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_needs_numpy_and_scipy_only():
    script = """
import qnnw
ansatz = qnnw.EfficientSU2(8, 1)
weight_map = qnnw.WeightMap(131)
print(qnnw.generate_weights(ansatz, ansatz.random_angles(0), weight_map, 0.3, 100, 0).shape)
import qnnw.optim.derivative_free, qnnw.training.record
"""
    finished = run_without(EXTRAS, script)
    assert finished.stdout == "(131,)\n", finished.stderr


def test_importing_loads_nothing_else():
    script = f"import qnnw, sys; print({EXTRAS!r} & {{n.split('.')[0] for n in sys.modules}})"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.stdout == "set()\n"


NEEDED = {
    "torch": [
        "data.networks", "data.datasets", "nn", "training.epochs", "training.evaluation",
        "training.export", "training.runs",
    ],
    "sklearn": ["sklearn"],
    "safetensors": ["nn.pretrained", "training.trainer"],
    "matplotlib": ["training.plots"],
    "typer": ["cli"],
}  # fmt: skip


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_extra_is_named(missing):
    script = f"""
from importlib import import_module
for module in {NEEDED[missing]}:
    try:
        import_module(f"qnnw.{{module}}")
    except ImportError as error:
        print(error)
"""
    finished = run_without({missing}, script)
    said = finished.stdout.splitlines()
    assert len(said) == len(NEEDED[missing]), finished.stderr
    for line in said:
        assert f"needs the package '{missing}'" in line
        assert "python -m pip install 'qnnw[train]'" in line


@pytest.mark.slow
def test_a_run_needs_no_pictures():
    finished = run_without({"matplotlib"}, "import qnnw.training.runs; print('there')")
    assert finished.stdout == "there\n", finished.stderr


def test_a_run_starts_without_torchs_compiler(tmp_path):
    # Its import takes longer than the rest of such a run.
    script = f"""
import sys
from qnnw.training.presets import preset
from qnnw.training.runs import start
start(preset("iris", epochs=1), {str(tmp_path)!r})
print("torch._dynamo" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.stdout == "False\n", finished.stderr


@pytest.mark.parametrize("missing", ["torch", "typer", "rich"])
def test_the_command_says_what_to_install_in_one_line(missing):
    run = "import sys; sys.argv[1:] = ['train', 'iris']; from qnnw.__main__ import main; main()"
    finished = run_without({missing}, run)
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert "pip install 'qnnw[train]'" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_datasets_and_qiskit_name_theirs():
    finished = run_without({"sklearn"}, "from qnnw.data import load; load('iris', seed=0)")
    assert "The Iris dataset needs the package 'sklearn'" in finished.stderr
    finished = run_without({"qiskit"}, "import qnnw; qnnw.EfficientSU2(2, 1).to_qiskit()")
    assert "python -m pip install 'qnnw[qiskit]'" in finished.stderr


def test_what_needs_torch_is_there_when_it_is_asked_for():
    script = """
import qnnw, sys
from qnnw import *
assert "torch" not in sys.modules
assert {"nn", "sklearn", "load_recipe", "EfficientSU2"} <= set(dir(qnnw))
assert not hasattr(qnnw, "nothing")
qnnw.nn.QuantumTrain, qnnw.load_recipe, qnnw.sklearn.QuantumTrainClassifier
assert "torch" in sys.modules
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    finished = run_without({"torch"}, "import qnnw; qnnw.nn")
    assert "python -m pip install 'qnnw[train]'" in finished.stderr


def test_onnx_names_its_extra(tmp_path, monkeypatch):
    run = start(preset("iris", "adam").changed(epochs=1), tmp_path)["run_dir"]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"python -m pip install 'qnnw\[export\]'"):
        export_run(run, "onnx")


def test_public_names_are_documented():
    for name in qnnw.__all__:
        assert name == "__version__" or getattr(qnnw, name).__doc__


def second_python():
    """An interpreter of another minor version (3.10 or later), or None."""
    names = [shutil.which(f"python3.{minor}") for minor in range(10, 20)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names += sorted(map(str, pyenv.glob("versions/3.1?.*/bin/python")))
    for name in [os.environ.get("QNNW_SECOND_PYTHON"), *names]:
        if name is None:
            continue
        code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
        answer = subprocess.run([name, "-c", code], capture_output=True, text=True)
        version = tuple(map(int, answer.stdout.split())) if answer.returncode == 0 else (0, 0)
        if version >= (3, 10) and version != sys.version_info[:2]:
            return name
    return None


@pytest.mark.slow
def test_the_wheel_is_manylinux_and_abi3_and_works_on_a_second_python(tmp_path):
    build = subprocess.run(
        [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    if sys.platform == "linux":
        assert re.fullmatch(r"qnnw-[\d.]+-cp310-abi3-manylinux.*\.whl", wheel.name), wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"qnnw/py.typed", "qnnw/_core.pyi", "qnnw/_core.abi3.so"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    python = second_python()
    if python is None:
        pytest.skip("no second Python here; name one with QNNW_SECOND_PYTHON")
    environment = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    inside = str(environment / "bin" / "python")
    subprocess.run([inside, "-m", "pip", "install", "-q", str(wheel)], check=True)
    script = """
import qnnw, sys
ansatz = qnnw.EfficientSU2(13, 26)
print(sys.version_info[:2], abs(ansatz.probabilities(ansatz.random_angles(0)).sum() - 1) < 1e-12)
"""
    finished = subprocess.run(
        [inside, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert finished.stdout.endswith("True\n")
    assert str(sys.version_info[:2]) not in finished.stdout
