"""The house: which room imports which, read from the source."""

from __future__ import annotations

import ast
import shutil
from collections import defaultdict
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "python" / "qnnw"

# From the ground up; imports go down only, and rooms of one floor do not know each other.
FLOORS = [
    {"_core", "_common"},
    {"circuit", "optim", "data"},
    {"weights"},
    {"nn"},
    {"training"},
    {"sweep", "sklearn"},
    {"paper"},
    {"cli"},
    {"__init__", "__main__"},
]
# The compiled core is the ground itself.
GROUND = ["_core", "_common"]
LONGEST = 400


ROOT = TESTS.parent
# Those of an earlier release import that.
SCRIPTS = [
    path for folder in ("benches", "docs", "examples", "fuzz")
    for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "release.py"
]  # fmt: skip


def floor_of(room):
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def modules(package):
    """Every module by its dotted name inside the package; a folder is its ``__init__``."""
    found = {}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        parts = list(path.relative_to(package).with_suffix("").parts)
        if len(parts) > 1 and parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


@cache
def imports_in(source):
    """The nodes that import, or name what is to be; kept, as a copy's files are mostly the same."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [
        node for node in nodes
        if not isinstance(node, ast.Call) or "import_module" in ast.unparse(node.func)
    ]  # fmt: skip


def imported(path, name, known):
    """Dotted names inside the package that a file imports, wherever in it; "" is the package.

    A module's name given to ``import_module`` counts as well: it is an import put off.
    """
    own = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    if name == "__init__":
        own = []
    for node in imports_in(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["qnnw", *own][: len(own) + 2 - node.level]
                base = ".".join([*above, *filter(None, [base])])
            inside = base.removeprefix("qnnw").lstrip(".")
            is_module = [".".join(filter(None, [inside, a.name])) in known for a in node.names]
            names = [
                f"{base}.{alias.name}" if below else base
                for alias, below in zip(node.names, is_module, strict=True)
            ]
        else:
            given = [one.value for one in node.args if isinstance(one, ast.Constant)]
            names = [one for one in given if isinstance(one, str)]
        for one in names:
            if one == "qnnw" or one.startswith("qnnw."):
                yield node.lineno, one.removeprefix("qnnw").lstrip(".")


def circles(edges):
    """Nodes from which a way leads back to themselves."""
    reach = {node: set(targets) for node, targets in edges.items()}
    for between in list(reach):
        for node in reach:
            if between in reach[node]:
                reach[node] |= reach[between]
    return sorted(node for node, targets in reach.items() if node in targets)


@cache
def faults(package):
    """All that is wrong with the house, a line each."""
    known = modules(package)
    found = []
    rooms = defaultdict(set)
    files = defaultdict(set)
    for name, path in known.items():
        if path.suffix == ".pyi":
            continue
        room = name.split(".")[0]
        if floor_of(room) is None:
            found.append(f"{room} is on no floor")
            continue
        rooms[room] |= set()
        files[name] |= set()
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > LONGEST:
            found.append(f"{path.relative_to(package)} has {length} lines")
        for line, target in imported(path, name, known):
            place = f"{path.relative_to(package)}:{line}"
            if target == "":
                if room not in ("__init__", "__main__"):
                    found.append(f"{place} imports qnnw itself")
                continue
            there = target.split(".")[0]
            if there not in {one.split(".")[0] for one in known}:
                there = "__init__"  # a name of the package's own
            if there == room:
                if target != name:
                    files[name].add(target)
                continue
            if floor_of(there) is None or floor_of(there) > floor_of(room):
                found.append(f"{place} imports {there}, which is above {room}")
            elif floor_of(there) == floor_of(room) and (there, room) != tuple(GROUND):
                found.append(f"{place} imports {there}, beside {room}")
            if there == "paper" and room != "cli":
                found.append(f"{place} imports the paper; only the command line may")
            rooms[room].add(there)
    found += [f"a circle through the room {room}" for room in circles(rooms)]
    found += [f"a circle through {name}" for name in circles(files)]
    if len(rooms) > 14:
        found.append(f"{len(rooms)} rooms")
    return found


def test_every_import_goes_down():
    assert faults(PACKAGE) == []


def test_no_file_of_tests_is_longer_than_those_of_the_package():
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in TESTS.glob("*.py")}
    assert {name: length for name, length in lines.items() if length > LONGEST} == {}


def test_there_are_few_rooms_on_few_floors():
    rooms = {name.split(".")[0] for name in modules(PACKAGE)}
    assert rooms <= set().union(*FLOORS)
    assert len(rooms) <= 14
    assert len(FLOORS) <= 10


@pytest.fixture
def copy(tmp_path):
    skip = shutil.ignore_patterns("*.so", "__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "qnnw", ignore=skip))


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("_common/words.py", "from qnnw.circuit import EfficientSU2", "imports circuit, which"),
        ("weights/source.py", "import qnnw.nn.operator", "imports nn, which is above weights"),
        ("circuit/sampling.py", "def f():\n    from qnnw.nn import QuantumTrain", "imports nn, "),
        ("optim/schedules.py", "if TYPE_CHECKING:\n    import qnnw.sweep.grid", "imports sweep, "),
        ("training/record.py", "from ..sweep import grid", "imports sweep, which is above"),
        ("nn/__init__.py", "from .. import training", "imports training, which is above nn"),
        ("circuit/sampling.py", "import_module('qnnw.cli.train')", "imports cli, which is above"),
        ("optim/schedules.py", "import qnnw.data.datasets", "imports data, beside optim"),
        ("training/record.py", "import qnnw", "imports qnnw itself"),
        ("training/record.py", "from qnnw import generate_weights", "imports qnnw itself"),
        ("sweep/grid.py", "from qnnw.paper import presets", "imports the paper; only"),
        ("__init__.py", "from qnnw.paper import presets", "imports the paper; only"),
        ("attic.py", "", "attic is on no floor"),
        ("optim/schedules.py", "\n" * 400, "lines"),
        ("optim/objective.py", "import qnnw.optim.cobyla", "a circle through optim.cobyla"),
        ("circuit/sampling.py", "import qnnw.circuit.ansatz\nimport qnnw.circuit", "a circle"),
    ],
)
def test_what_is_built_wrong_is_found(copy, file, line, fault):
    before = faults(PACKAGE)
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    found = [one for one in faults(copy) if one not in before]
    assert any(fault in one for one in found), found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_from_the_package_is_there(path):
    """Scripts that no test runs, such as the benches, follow what moves too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "qnnw":
            for name in (one.name for one in node.names):
                found = hasattr(import_module(node.module), name)
                assert found or find_spec(f"{node.module}.{name}"), f"{node.module}.{name}"
