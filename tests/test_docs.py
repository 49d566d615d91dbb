"""The site: every public name has its page, and the pages' own examples run.

The guide's scripts are run by test_guide.py, README's by test_readme.py; links and anchors are what
`mkdocs build --strict` in `.ci/run` holds.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PUBLIC = ("qnnw", "qnnw.data", "qnnw.nn", "qnnw.optim", "qnnw.sklearn")
REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))
EXPLAINED = set(re.findall(r"^::: (\S+)", REFERENCE, flags=re.MULTILINE))
PAGES = [
    page for page in sorted(DOCS.rglob("*.md"))
    if "guide" not in page.parts and "```python" in page.read_text(encoding="utf-8")
]  # fmt: skip


def public_names():
    for module in PUBLIC:
        door = importlib.import_module(module)
        listed = set(door.__all__) | {name for name in dir(door) if not name.startswith("_")}
        for name in sorted(listed - {"annotations", "TYPE_CHECKING"}):
            one = getattr(door, name)
            # A module shown by its own names needs no page; nor does what is passed on by imports.
            if callable(one) and getattr(one, "__module__", "").startswith("qnnw"):
                yield f"{module}.{name}"


def found(name):
    """What a dotted name stands for."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            one = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            one = getattr(one, part)
        return one
    raise AssertionError(name)


@pytest.mark.parametrize("name", list(public_names()))
def test_a_public_name_has_its_page(name):
    assert any(found(name) is found(explained) for explained in EXPLAINED)


@pytest.mark.parametrize("name", sorted(EXPLAINED))
def test_a_page_names_what_there_is(name):
    """And something that has a docstring to show."""
    assert found(name).__doc__


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_pages_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        exec(compile(block, page.name, "exec"), names)


def test_there_are_such_pages():
    assert {"index", "reproduce_the_paper"} <= {page.stem for page in PAGES}
