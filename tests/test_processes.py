"""Commands among other processes: closed streams, few letters, signals, what lies in the folder."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import QNNW, called, qnnw
from qnnw._common import signals
from qnnw.training.presets import preset
from qnnw.training.record import RunFolder
from qnnw.training.runs import resume, start
from qnnw.training.trainer import Stoppable
from running import same_but_for_time
from tiers import slowly

TINY = ["--optimizer", "cobyla", "--periods", "2", "--angle-evals", "4", "--gamma-evals", "2"]
GRID = "reps=1 seeds=0..1 periods=1 angle_evals=2 gamma_evals=0"
SWEEP = ["sweep", "iris", "--optimizer", "cobyla", "--workers", "1", "--threads", "1"]
# As the installed command, whose folder is not the current one.
COMMAND = "import sys; sys.path.remove(''); from qnnw.__main__ import main; main()"


def redirected(how):
    return ["sh", "-c", f'exec "$@" {how}', "sh", *QNNW]


def only_run(out):
    (run,) = out.iterdir()
    return RunFolder(run)


@pytest.mark.parametrize(
    "how", ["<&- >&- 2>&-", *(slowly(how) for how in ("2>&-", ">&-", "2>/dev/full"))]
)
def test_a_run_needs_no_streams(how, tmp_path):
    finished = qnnw("train", "iris", *TINY, "--out", tmp_path, command=redirected(how))
    assert finished.returncode == 0, finished.stderr
    run = only_run(tmp_path)
    assert run.read_result()["periods"] == 2
    # Nothing that was printed has gone into a file that had a closed stream's number.
    assert len(run.read_history()) == 2
    assert "Exception" not in finished.stderr


@pytest.mark.slow
def test_a_sweep_and_its_pictures_need_no_streams(tmp_path):
    none = redirected("<&- >&- 2>&-")
    assert qnnw(*SWEEP, "--grid", GRID, "--out", tmp_path, command=none).returncode == 0
    assert (tmp_path / "sweep.png").is_file()
    assert qnnw("plot", tmp_path, command=none).returncode == 0
    assert qnnw("train", "iris", "--reps", "-1", command=none).returncode == 2


def test_the_place_of_a_closed_stream_is_filled():
    script = "import os, sys\nfrom qnnw._common.streams import settle_streams\nsettle_streams()\n"
    finished = qnnw(command=[sys.executable, "-c", script + "print(os.open('/', 0) > 2)"])
    assert finished.stdout == "True\n"
    none = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c"]
    finished = qnnw(script + "print(os.open('/', 0) > 2, sys.stderr is not None)", command=none)
    assert finished.stdout == "True True\n"


@pytest.mark.slow
def test_output_that_does_not_fit_is_said_and_the_run_is_there(tmp_path):
    full = redirected("> /dev/full")
    finished = qnnw("train", "iris", *TINY, "--quiet", "--out", tmp_path, command=full)
    assert finished.returncode == 1
    message = "error: standard output cannot be written: [Errno 28] No space left on device\n"
    assert finished.stderr == message
    assert only_run(tmp_path).read_result() is not None


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_run_whose_reader_leaves_goes_on(quiet, tmp_path):
    command = [*QNNW, "train", "iris", *TINY, "--periods", "30", *quiet, "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if not quiet:
            assert process.stdout.readline().startswith(b"iris: ")
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    assert only_run(tmp_path).read_result()["periods"] == 30


def test_a_pipe_that_does_not_block_is_waited_for():
    script = "from qnnw._common.streams import settle_streams\nsettle_streams()\nprint('a' * 10**6)"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, "-c", script], stdout=writer) as process:
        os.close(writer)
        time.sleep(2.0)
        with os.fdopen(reader, "rb") as file:
            assert file.read() == b"a" * 10**6 + b"\n"
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_of_few_letters(encoding, tmp_path):
    few = {**os.environ, "PYTHONIOENCODING": encoding}
    finished = qnnw(*SWEEP, "--grid", GRID, "--out", tmp_path / "s", env=few, encoding=encoding)
    assert finished.returncode == 0, finished.stderr
    plain = "+/-" if encoding == "ascii" else "±"
    assert f" {plain} " in finished.stdout
    wanted = qnnw("sweep", "--out", tmp_path / "s", "--quiet", encoding="utf-8").stdout
    assert finished.stdout == wanted.replace("±", plain)
    for arguments in (
        ["train", "--help"],
        ["plot", tmp_path / "s"],
        ["info"],
        ["eval", "Größe → ∞"],
    ):
        finished = qnnw(*arguments, env=few, encoding=encoding)
        assert finished.returncode == (arguments[0] == "eval"), finished.stderr
        assert "Traceback" not in finished.stderr
    assert "-> ?" in finished.stderr


@pytest.mark.slow
def test_a_path_of_bytes_is_printed_as_it_is(tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/\xff[/b]")
    finished = qnnw("train", "iris", *TINY, "--out", out, "--quiet", errors="surrogateescape")
    assert finished.returncode == 0, finished.stderr
    said = finished.stdout.replace("│", "").split()
    assert out in "".join(said).replace("─", "")


@pytest.mark.parametrize("out", ["runs[old]", "runs[/a]", "[bold]:smile:"])
def test_brackets_in_a_path_are_text(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = called("train", "iris", *TINY, "--out", out)
    assert finished.returncode == 0, finished.stderr
    assert f"run folder: {out}/iris-" in finished.stderr
    (line,) = (line for line in finished.stdout.splitlines() if "run folder" in line)
    assert f" {out}/iris-" in line


@pytest.mark.slow
def test_what_lies_in_the_folder_is_nobodys_module(tmp_path):
    for name in ("random", "queue", "types", "numpy", "json", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    (tmp_path / "helper.py").write_text("outputs = 3\n")
    (tmp_path / "mine.py").write_text(
        "import helper\nfrom torch import nn\n"
        "def make():\n    return nn.Linear(4, helper.outputs)\n"
    )
    command = [sys.executable, "-c", COMMAND]
    arguments = [*SWEEP, "--network", "mine.py:make", "--grid", GRID, "--retries", "0"]
    finished = qnnw(*arguments, "--json", command=command, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.slow
def test_a_notebooks_back_end_is_not_asked_for(tmp_path):
    notebook = {**os.environ, "MPLBACKEND": "no_such_backend"}
    finished = qnnw("train", "iris", *TINY, "--out", tmp_path, env=notebook)
    assert finished.returncode == 0
    assert "no picture" not in finished.stderr
    assert only_run(tmp_path).picture_path.is_file()


# Sends the signal to itself when a module is about to be imported.
AT_IMPORT = """
import os, signal, sys
sys.path.remove("")
class Finder:
    def find_spec(name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
sys.meta_path.insert(0, Finder)
from qnnw.__main__ import main
sys.argv[1:] = sys.argv[3:]
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["typer", "torch", slowly("qnnw.training.runs")])
def test_interrupted_while_it_starts(module, name, tmp_path):
    script = AT_IMPORT.replace("sys.argv[1]", repr(module)).replace("sys.argv[2]", repr(name))
    script = script.replace("sys.argv[1:] = sys.argv[3:]\n", "")
    command = [sys.executable, "-c", script]
    finished = qnnw("train", "iris", *TINY, "--out", tmp_path / "runs", command=command)
    assert (finished.returncode, finished.stdout, finished.stderr) == (130, "", "interrupted\n")
    assert not (tmp_path / "runs").exists()


def started(*arguments):
    return subprocess.Popen(
        [*QNNW, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def read_until(process, start):
    for line in process.stderr:
        if line.startswith(start):
            return line
    raise AssertionError(f"no line {start!r}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_the_period_be_written(number, tmp_path):
    settings = ["--optimizer", "cobyla", "--periods", "40", "--angle-evals", "2000"]
    with started("train", "iris", *settings, "--out", tmp_path) as process:
        read_until(process, "period 2/")
        time.sleep(0.2)  # well inside the third
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    run = only_run(tmp_path)
    lines = rest.splitlines()
    assert lines[0] == "stopping after this period; once more stops at once"
    assert [line.split("/")[0] for line in lines[1:-1]] == ["period 3"]
    assert lines[-1] == (
        f"interrupted; to go on from its last finished round: qnnw resume {run.path}"
    )
    assert len(run.read_history()) == len(run.read_checkpoint()[2]) == 3


@pytest.mark.slow
def test_two_signals_stop_at_once(tmp_path):
    settings = ["--optimizer", "spsa", "--periods", "1", "--angle-evals", "1000000"]
    with started("train", "iris", *settings, "--out", tmp_path) as process:
        read_until(process, "estimated time")
        process.send_signal(signal.SIGINT)
        read_until(process, "stopping after this period")
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        assert "qnnw resume" in process.stderr.read()
        assert process.wait(timeout=60) == 130
        assert time.monotonic() - before < 10
    assert only_run(tmp_path).read_checkpoint() is None


def test_a_signal_in_the_last_round_lets_the_run_finish(tmp_path, capfd):
    """What is left then is to write the result down."""

    class Late(Stoppable):
        asked = False

        def advanced(self, done, loss):
            if len(self._trainer.history) == self._trainer.rounds - 1 and not self.asked:
                self.asked = True
                signals.ask_to_stop()

    config = preset("iris", "cobyla").changed(periods=3, angle_evals=5, gamma_evals=1)
    with signals.stoppable():
        assert start(config, tmp_path, Late())["periods"] == 3
    assert capfd.readouterr().err.startswith("stopping after this period")
    with signals.stoppable(), pytest.raises(KeyboardInterrupt):
        signals.ask_to_stop()


def children(pid):
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [False, True])
def test_one_signal_lets_a_sweeps_rounds_be_written(group, number, tmp_path):
    settings = ["--optimizer", "cobyla", "--periods", "500", "--angle-evals", "500"]
    command = [*QNNW, "sweep", "iris", *settings, "--grid", "seeds=0..3", "--workers", "2",
               "--threads", "1", "--out", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        while len(list(tmp_path.glob("trials/*/checkpoint.npz"))) < 2:
            time.sleep(0.1)
        workers = children(process.pid)
        assert len(workers) == 2
        (os.killpg if group else os.kill)(process.pid, number)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "stopping after the rounds that are under way; once more stops at once" in rest
    assert f"interrupted; to go on: qnnw sweep --out {tmp_path}" in rest
    assert "tried again" not in rest
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert (tmp_path / "table.md").is_file()
    for run in map(RunFolder, tmp_path.glob("trials/*")):
        assert len(run.read_history()) == len(run.read_checkpoint()[2]) >= 1
    assert "Traceback" not in (tmp_path / "workers.log").read_text()


@pytest.mark.slow
def test_two_signals_stop_a_sweep_at_once(tmp_path):
    settings = ["--optimizer", "spsa", "--periods", "1", "--angle-evals", "1000000"]
    with started("sweep", "iris", *settings, "--grid", "seeds=0..1", "--out", tmp_path) as process:
        while len(list(tmp_path.glob("trials/*/config.json"))) < 2:
            time.sleep(0.1)
        time.sleep(5.0)  # both are in their first round
        workers = children(process.pid)
        process.send_signal(signal.SIGTERM)
        read_until(process, "stopping after the rounds")
        time.sleep(1.0)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        assert "qnnw sweep --out" in process.stderr.read()
        assert process.wait(timeout=60) == 130
        assert time.monotonic() - before < 10
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("elsewhere")])
def test_the_workers_log_is_a_plain_file(make, tmp_path):
    make(tmp_path / "workers.log")
    finished = called(*SWEEP, "--grid", GRID, "--out", tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].startswith("error: ")
    assert "workers.log" in finished.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_runs_that_are_stopped_by_signals_give_the_same(tmp_path):
    settings = ["--optimizer", "cobyla", "--periods", "8", "--angle-evals", "300", "--shots", "500"]
    whole = json.loads(qnnw("train", "iris", *settings, "--out", tmp_path / "w", "--json").stdout)
    rng, run = random.Random(2), None
    for _ in range(6):
        what = (
            ["train", "iris", *settings, "--out", tmp_path / "c"]
            if run is None
            else ["resume", run]
        )
        with started(*what) as process:
            read_until(process, "run folder")
            time.sleep(rng.uniform(0, 0.5))
            process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
            process.stderr.read()
            assert process.wait(timeout=60) in (0, 130)
        run = only_run(tmp_path / "c").path
        if process.returncode == 0:  # it was in its last round
            break
    assert same_but_for_time(resume(run), whole)


@pytest.mark.slow
def test_ray_joins_no_cluster_and_takes_no_module_from_the_folder(tmp_path):
    pytest.importorskip("ray")
    for name in ("queue", "types", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    nowhere = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
    finished = qnnw(
        *SWEEP, "--grid", GRID, "--engine", "ray", "--retries", "0",
        command=[sys.executable, "-c", COMMAND], cwd=tmp_path, env=nowhere,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_interrupted_while_the_package_itself_is_imported():
    script = AT_IMPORT.replace("sys.argv[1]", "'numpy'").replace("sys.argv[2]", "'SIGINT'")
    script = 'import sys\nsys.argv[0] = "qnnw"\n' + script.replace(
        "sys.argv[1:] = sys.argv[3:]\n", ""
    )
    finished = qnnw("--help", command=[sys.executable, "-c", script])
    assert (finished.returncode, finished.stdout, finished.stderr) == (130, "", "interrupted\n")
