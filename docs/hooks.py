"""What the site shows of the command line and of the settings is made from their declarations."""

from __future__ import annotations

import re
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


def notebook(path: Path) -> str:
    """A notebook in jupytext's percent format as a page: its words, and its code in blocks."""
    shown = []
    for cell in path.read_text(encoding="utf-8").split("# %%")[1:]:
        kind, _, text = cell.partition("\n")
        if "[markdown]" in kind:
            lines = (line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
            shown.append("\n".join(lines))
        else:
            shown.append(f"```python\n{text.strip()}\n```")
    return "\n\n".join(shown)


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
