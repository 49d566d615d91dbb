"""What the site shows of the command line and of the settings is made from their declarations."""

from __future__ import annotations

import ast
import base64
import functools
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from html import escape
from pathlib import Path
from typing import Any

import typer

from qnnw.cli import app
from qnnw.training.presets import settings_table

DOCS = Path(__file__).parent
NOTEBOOK = re.compile(r"<!-- notebook: (\S+) -->")
FORMATTING = re.compile(r"\[/?(?:bold|dim|italic|cyan|yellow)[^\]]*\]")


def on_page_markdown(markdown: str, **_others: Any) -> str:
    """Put both in the place of their marks."""
    for mark, made in (("commands", _commands), ("settings", settings_table)):
        if f"<!-- {mark} -->" in markdown:
            markdown = markdown.replace(f"<!-- {mark} -->", made())
    return NOTEBOOK.sub(lambda mark: notebook(DOCS / mark[1]), markdown)


@functools.cache
def notebook(path: Path) -> str:
    """A notebook in jupytext's percent format as a page: its words, its code, and what that shows.

    It is run, in a folder of its own: what the page shows is what its reader will see.
    """
    shown: list[str] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    os.environ.setdefault("MPLBACKEND", "agg")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for kind, text in _cells(path):
                if kind == "markdown":
                    shown.append(text)
                else:
                    shown += [f"```python\n{text}\n```", *_outputs(text, names)]
        finally:
            os.chdir(here)
    return "\n\n".join(shown)


def _cells(path: Path) -> Iterator[tuple[str, str]]:
    for cell in path.read_text(encoding="utf-8").split("# %%")[1:]:
        kind, _, text = cell.partition("\n")
        if "[markdown]" in kind:
            lines = (line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
            yield "markdown", "\n".join(lines)
        else:
            yield "code", text.strip()


def _outputs(code: str, names: dict[str, Any]) -> Iterator[str]:
    """What a cell prints, and its last line's value, as a notebook shows it."""
    *lines, last = ast.parse(code).body
    value = None
    with redirect_stdout(io.StringIO()) as printed:
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(lines, []), "cell", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        else:
            exec(compile(code, "cell", "exec"), names)
    if printed.getvalue():
        yield f"```text\n{printed.getvalue().rstrip()}\n```"
    if hasattr(value, "savefig"):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=110)
        data = base64.b64encode(picture.getvalue()).decode()
        yield f'<img alt="{escape(code.splitlines()[-1])}" src="data:image/png;base64,{data}">'
    elif value is not None:
        yield f'<div class="output">{value._repr_html_()}</div>'


def _commands() -> str:
    commands = typer.main.get_command(app).commands
    return "\n".join(_command(name, command) for name, command in commands.items())


def _command(name: str, command: Any) -> str:
    lines = [f"## qnnw {name}", "", _plain(command.help or ""), ""]
    lines += ["| | |", "| --- | --- |"]
    for parameter in command.params:
        names = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = f"`{parameter.name.upper()}`"
        help_text = _plain(getattr(parameter, "help", None) or "").replace("|", "\\|")
        lines.append(f"| {names} | {' '.join(help_text.split())} |")
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    return FORMATTING.sub("", text)
