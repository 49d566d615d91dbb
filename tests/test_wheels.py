"""The wheel: built once, and tried without Rust by every Python that the machine has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def interpreters():
    """Pythons of 3.10 and later by version, this one among them; QNNW_PYTHONS names more."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [Path(sys.executable), *map(Path, os.environ.get("QNNW_PYTHONS", "").split())]
    places += sorted(pyenv.glob("versions/*/bin/python"))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        places += sorted(Path(folder).glob("python3.[0-9][0-9]*"))
    found = {}
    # A free-threaded one takes no abi3 wheel: it has its own, see `.github/workflows/wheels.yml`.
    code = "import ensurepip, sys, sysconfig, venv; "
    code += "print(*sys.version_info[:2], sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    for place in places:
        if re.fullmatch(r"python(3(\.\d+t?)?)?", place.name) and os.access(place, os.X_OK):
            told = subprocess.run(
                [place, "-c", code], capture_output=True, text=True
            ).stdout.split()
            if len(told) == 3 and (int(told[0]), int(told[1])) >= (3, 10) and told[2] == "0":
                found.setdefault(f"{told[0]}.{told[1]}", place)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--out", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    assert "-cp310-abi3-" in wheel.name
    return wheel


@pytest.mark.slow
@pytest.mark.parametrize("version", interpreters())
def test_the_wheel_works_in_a_clean_environment(version, wheel, tmp_path):
    """Nothing but the wheel and what it depends on: known numbers, and eight threads at once."""
    inside = tmp_path / "venv" / "bin" / "python"
    python = interpreters()[version]
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    install = [inside, "-m", "pip", "install", "-q", "--only-binary", ":all:", wheel]
    subprocess.run(install, check=True, env=bare())
    code = "import sys, qnnw; a = qnnw.EfficientSU2(4, 1); p = a.probabilities(a.random_angles(0));"
    code += "print(*sys.version_info[:2], sep='.'); print(qnnw.__file__); print(abs(p.sum() - 1))"
    for command in ([inside, "-c", code], [inside, ROOT / "tests" / "threads.py", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare())
        assert done.returncode == 0, done.stderr
        if "-c" in command:
            told, place, off = done.stdout.split()
            assert told == version
            assert place.startswith(str(tmp_path))
            assert float(off) < 1e-12
        else:
            assert done.stdout.endswith("the same bits\n")


def bare():
    """This process's environment without its packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_workflows_build_for_all_that_is_promised():
    wheels = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    for part in ("x86_64", "aarch64", "musllinux_1_2", "macos-latest", "windows-latest", "3.14t"):
        assert part in wheels
    assert "id-token: write" in wheels  # trusted publishing
    assert [path.stem for path in WORKFLOWS] == ["docs", "tests", "wheels"]
