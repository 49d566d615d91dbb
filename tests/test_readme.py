"""What the README shows, run as it is written; every command that it and the guide show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qnnw.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = typer.main.get_command(app).commands


def commands_of(path):
    """The words after `qnnw` of every such command in the page's sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [line[1:] for line in words if line[:1] == ["qnnw"]]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = [shlex.join(words) for page in PAGES for words in commands_of(page)]


def parse(line, folder):
    """Read as the command line reads it, and not run; names of what must exist do exist."""
    words = shlex.split(line)
    for word in set(words) & {"RUN", "DIR", "iris-sweep", "mnist-sweep"}:
        (folder / word).mkdir(exist_ok=True)
    return COMMANDS[words[0]].make_context(words[0], words[1:])


def failure(line, folder):
    """The message with which a line is refused, or None.

    Typer may bring its own click, so that its errors are told by what they hold.
    """
    try:
        parse(line, folder)
    except typer.Exit as asked:  # --help
        return None if asked.exit_code == 0 else f"exit {asked.exit_code}"
    except Exception as error:
        return error.format_message() if hasattr(error, "format_message") else repr(error)
    return None


def test_there_are_examples():
    assert len(BLOCKS) == 4


@pytest.mark.slow
@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_the_example_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(BLOCKS[block], "README.md", "exec"), names)
    if "same" in names:
        assert (names["same"] == names["weights"]).all()
        assert names["counts"].sum() == 81920
    elif "pullback" in names:
        assert names["angles_gradient"].shape == names["gradient"].shape == (702,)
        assert names["gamma_gradient"] > 0
        assert abs(names["gradient"]).max() < 1e-5  # the probabilities' sum is 1
    elif "plain" in names:
        assert names["model"].num_trainable_parameters == 49
        assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
    else:
        assert names["result"]["num_trained"] == 113


def test_every_command_is_shown():
    assert {line.split()[0] for line in SHOWN} == set(COMMANDS)


@pytest.mark.parametrize("line", SHOWN)
def test_the_command_line_takes_what_is_shown(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failure(line, tmp_path) is None
    if "--help" not in line:
        assert "--made-up" in failure(line + " --made-up 3", tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train iris --reps many", "valid integer"),
        ("train iris --reps", "--reps"),
        ("eval RUN two", "two"),
    ],
)
def test_a_line_that_it_does_not_take_is_seen(line, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in failure(line, tmp_path)


@pytest.mark.slow
def test_the_shown_commands_run(tmp_path, monkeypatch):
    """The cheap ones, on one run of a few epochs, each as it is shown."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        assert line in SHOWN
        words = shlex.split(line.replace("RUN", str(run_dir)) if run_dir else line)
        if not run_dir:
            words += ["--epochs", "3"]
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, (line, outcome.output, outcome.exception)
        return outcome.output

    run_dir = None
    run("train iris")
    (run_dir,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert (run_dir / "model.safetensors").is_file()
    assert "accuracy" in run("eval RUN --split test")
    for kind in ("recipe", "safetensors", "pt2"):
        run(f"export RUN --to {kind}")
    before = (run_dir / "model.safetensors").read_bytes()
    run("resume RUN")
    assert (run_dir / "model.safetensors").read_bytes() == before
    run("plot RUN")
    assert list(run_dir.rglob("*.png"))
    assert "threads" in run("info").lower()
