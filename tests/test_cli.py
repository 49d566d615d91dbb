"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

import user_files
from commands import QNNW, called, qnnw
from qnnw.cli import app
from qnnw.cli.options import protocol, with_settings
from qnnw.paper.presets import PRESETS
from qnnw.training.config import all_settings
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.presets import preset
from qnnw.training.settings import settings_of
from tiers import slowly

SHORT = ["--paper", "--periods", "2", "--angle-evals", "20", "--gamma-evals", "3"]
RESULT_KEYS = {
    "dataset", "num_weights", "num_qubits", "reps", "num_trained", "parameter_ratio", "seed",
    "shots", "train_accuracy", "test_accuracy", "loss", "gamma", "evaluations", "seconds",
    "run_dir",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    finished = qnnw("train", "iris", *SHORT, "--seed", 3, "--out", out, "--json")
    return finished, json.loads(finished.stdout.splitlines()[-1])


def test_train_prints_the_result_and_plain_lines(trained):
    finished, result = trained
    assert finished.returncode == 0
    assert set(result) >= RESULT_KEYS
    assert result["dataset"] == "iris"
    assert result["seed"] == 3
    assert result["shots"] is None
    lines = finished.stderr.splitlines()
    assert lines[0].startswith(
        "iris: 131 weights, source circuit (8 qubits, reps 1): 32 angles and 1 gamma (25.2 %)"
    )
    assert any("20 evaluations are fewer than the 34 that COBYLA needs" in line for line in lines)
    assert sum(line.startswith("period ") for line in lines) == 2
    assert "\x1b" not in finished.stderr + finished.stdout


def test_defaults_to_runs_in_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = called("train", "iris", *SHORT, "--quiet")
    assert finished.returncode == 0
    assert finished.stderr == ""
    assert "test accuracy" in finished.stdout
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "history.png").is_file()


def test_every_option_is_taken(tmp_path):
    finished = called(
        "train", "iris", *SHORT, "--reps", 2, "--entanglement", "sca", "--rhobeg", 0.5,
        "--rhobeg-decay", 0.5, "--shots", 500, "--signs", "random", "--mapping", "centered",
        "--gamma", 0.4, "--activation", "tanh", "--loss", "binary", "--seed", 9,
        "--train-samples", 60, "--device", "cpu", "--threads", 2, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    config = json.loads(next(tmp_path.glob("*/config.json")).read_text())["config"]
    expected = {
        "reps": 2, "entanglement": "sca", "shots": 500, "signs": "random",
        "mapping": "centered", "activation": "tanh", "seed": 9,
    }  # fmt: skip
    assert expected.items() <= result.items()
    expected = {
        "rhobeg": 0.5, "rhobeg_decay": 0.5, "gamma": 0.4, "loss": "binary", "threads": 2,
        "device": "cpu", "train_samples": 60, "periods": 2, "angle_evals": 20, "gamma_evals": 3,
    }  # fmt: skip
    assert expected.items() <= config.items()
    assert result["train_samples"] == 60


def test_the_options_are_the_settings():
    """Every setting is an option of both commands, with its help, and there are no others."""
    commands = typer.main.get_command(app).commands
    own = {
        "train": {"name", "data", "paper", "out", "as_json", "quiet"},
        "sweep": {"name", "data", "paper", "out", "as_json", "quiet", "grid", "extend", "workers",
                  "engine", "address", "retries", "retry_failed"},
        "search": {"name", "data", "paper", "out", "as_json", "quiet", "space", "trials", "prune",
                   "workers", "engine", "address", "retries", "retry_failed"},
    }  # fmt: skip
    settings = all_settings()
    for name, others in own.items():
        options = {option.name: option for option in commands[name].params}
        assert set(options) - {"help"} == others | (set(settings) - {"dataset"}) | {"optimizer"}
        for setting, declared in settings.items():
            if setting in ("dataset", "optimizer") or (name != "train" and setting == "threads"):
                continue
            assert declared.help in options[setting].help
            assert options[setting].default is None
    rotate = next(option for option in commands["train"].params if option.name == "rotate")
    assert (rotate.opts, rotate.secondary_opts) == (["--rotate"], ["--no-rotate"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_setting_of_an_optimiser_arrives(optimizer, tmp_path):
    """As it was given, whatever its kind; `none` where it may be."""
    given = {"optimizer": optimizer, "seed": 3, "gamma": 0.5, "source": "frozen", "threads": None}
    given |= dict.fromkeys(("reps", "train_samples", "validation_samples"), 3)
    given |= {"label": "kind", "task": "classification", "loss": "binary", "device": "cpu"}
    given |= {"network": "a.py:f", "shots": None, "signs": "random", "mapping": "paper"}
    given |= {"scale": "none", "entanglement": "none", "activation": "tanh"}
    for name, declared in settings_of(OPTIMIZERS[optimizer]).items():
        given[name] = {int: 3, float: 0.25, bool: False}[declared.kind]
    if "lr" in given:
        given["lr"] = None  # instead of the preset's
    words = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        words += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value).lower()
                  if value is None else str(value)]  # fmt: skip
    seen = {}

    @with_settings()
    def command(name: Annotated[str, typer.Argument()], **settings: Any) -> None:
        seen.update(settings)

    app = typer.Typer()
    app.command()(command)
    outcome = CliRunner().invoke(app, ["iris", *words, "--data-dir", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert seen == {**given, "data_dir": str(tmp_path)}
    changed = {name: value for name, value in seen.items() if name != "optimizer"}
    config = protocol("iris", optimizer, paper=False, **changed)
    assert given.items() <= config.to_dict().items()


def test_the_papers_protocol_takes_other_settings_and_optimisers():
    assert protocol("iris", paper=True) == PRESETS["iris"]
    assert protocol("mnist", paper=False) == preset("mnist")
    fast = protocol("mnist", "cobyla-fast", paper=True)
    assert fast.optimizer.settings == PRESETS["mnist"].optimizer.settings
    assert fast.mapping == "paper"


def test_a_users_network_and_data_from_the_command_line_to_onnx(tmp_path, monkeypatch):
    """Trained, resumed in another folder, evaluated, exported, swept and drawn."""
    monkeypatch.chdir(tmp_path)
    user_files.wine_csv(tmp_path)
    user_files.networks_py(tmp_path)
    mine = ["--network", "my_networks.py:normed", "--data", "wine.csv", "--label", "kind"]
    finished = called("train", *mine, "--epochs", 3, "--json", "--quiet")
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    (run,) = (tmp_path / "runs").iterdir()
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["dataset"] == str(tmp_path / "wine.csv")
    assert config["network"] == f"{tmp_path / 'my_networks.py'}:normed"
    monkeypatch.chdir("/")
    shown = called("resume", run)
    assert f"{result['num_trained']} / {result['num_weights']}" in shown.stdout
    evaluated = called("eval", run)
    assert f"test: accuracy {100 * result['test_accuracy']:.2f} % of" in evaluated.stdout
    exported = called("export", run, "--to", "onnx")
    assert exported.returncode == 0, exported.stderr
    monkeypatch.chdir(tmp_path)
    swept = called(
        "sweep", *mine, "--grid", "reps=1,2", "--epochs", 2, "--workers", 1, "--out", "s", "--quiet"
    )
    assert swept.returncode == 0, swept.stderr
    assert "| reps | trained | runs | train % | test % | loss |" in swept.stdout
    assert called("plot", tmp_path / "s").returncode == 0


def test_regression_is_told_by_its_own_measures(tmp_path):
    data = user_files.diabetes_csv(tmp_path)
    finished = called("train", data, "--epochs", 2, "--out", tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "test R²" in finished.stdout
    assert "training RMSE" in finished.stdout
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert "test: R² " in called("eval", run).stdout


@pytest.mark.parametrize("command", ["train", "plot", *map(slowly, ("sweep", "paper", "resume"))])
def test_help_needs_no_torch(command):
    script = (
        "import sys; sys.argv[1:] = [sys.argv[1], '--help']\n"
        "from qnnw.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, command]).returncode == 0


def test_resume_and_eval(trained):
    _, result = trained
    resumed = called("resume", result["run_dir"], "--json")
    assert json.loads(resumed.stdout.splitlines()[-1]) == result
    evaluated = called("eval", result["run_dir"], "--json")
    assert json.loads(evaluated.stdout)["accuracy"] == result["test_accuracy"]
    evaluated = called("eval", result["run_dir"], "--split", "train")
    assert f"accuracy {100 * result['train_accuracy']:.2f} %" in evaluated.stdout


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [*QNNW, "train", "iris", "--paper", "--out", str(tmp_path), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("period 2/"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    (run,) = tmp_path.iterdir()
    assert f"qnnw resume {run}" in rest
    assert "Traceback" not in rest
    resumed = qnnw("resume", run, "--json")
    assert resumed.returncode == 0
    assert "resumed after period" in resumed.stderr
    whole = qnnw("train", "iris", "--paper", "--out", tmp_path / "whole", "--json", "--quiet")
    left, right = (json.loads(r.stdout.splitlines()[-1]) for r in (resumed, whole))
    for name in ("loss", "gamma", "train_accuracy", "test_accuracy", "evaluations"):
        assert left[name] == right[name]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "cifar"], 2, "cifar"),
        (["train", "iris", "--reps", "-1"], 2, "error: `reps` is -1"),
        (["train", "iris", "--optimizer", "sgd"], 2, "error: `optimizer` is 'sgd'"),
        (["train"], 2, "error: `data` is missing"),
        (["train", "iris", "--data", "x.csv"], 2, "error: `data` is 'x.csv' and the dataset 'iris"),
        (["train", "x.csv", "--paper"], 2, "error: `dataset` is 'x.csv'; the paper's settings are"),
        (
            ["train", "iris", "--optimizer", "cobyla", "--epochs", "3"],
            2,
            "error: `epochs` is no setting of the optimizer 'cobyla'; it has periods, ",
        ),
        (
            ["train", "iris", "--optimizer", "adam", "--no-rotate"],
            2,
            "error: `rotate` is no setting of the optimizer 'ad",
        ),
        (["train", "iris", "--preconditioning", "full"], 2, "No such option"),
        (["train", "iris", "--shots", "few"], 2, "'few' is not int"),
        (["train", "iris", "--source", "haar", "--shots", "9"], 2, "error: `shots` is 9; weights"),
        (["train", "digits", "--epochs", "0"], 2, "error: `epochs` is 0"),
        (["train", "iris", "--shots", "0"], 2, "error: `shots` is 0"),
        (["train", "iris", "--threads", "0"], 2, "error: `threads` is 0"),
        (["train", "iris", "--entanglement", "ring"], 2, "error: `entanglement` is"),
        (["train", "iris", "--device", "abacus"], 2, "error: `device` is 'abacus'"),
        (["train", "mnist", "--data-dir", "/nonexistent/data"], 1, "error: MNIST cannot be read"),
        (["train", "iris", "--out", "/proc/nowhere"], 1, "error: "),
        (["resume", "/nonexistent"], 1, "is no run: it has no config.json"),
        (["eval", "/nonexistent"], 1, "is no run: it has no config.json"),
        (["eval", "/nonexistent", "--split", "all"], 2, "all"),
    ],
)
def test_what_a_user_can_mend_is_one_line(arguments, status, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = called(*arguments)
    assert finished.returncode == status
    assert message in finished.stderr
    if message.startswith("error"):
        assert len(finished.stderr.splitlines()) == 1


def test_training_by_gradients_and_export(tmp_path):
    finished = called(
        "train", "digits", "--epochs", 3, "--batch-size", 64, "--lr", 0.05, "--warmup", 0.2,
        "--scale", "fan_in", "--reps", 2, "--validation-samples", 200, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert result["optimizer"] == "eigen-adam"
    assert (result["epochs"], result["steps"]) == (3, 3 * 18)
    assert (result["test_samples"], result["validation_samples"]) == (200, 200)
    assert {"circuit_seconds_per_step", "network_seconds_per_step"} <= set(result)
    lines = finished.stderr.splitlines()
    assert any("by exact gradients: 3 epochs of 18 steps" in line for line in lines)
    assert any(line.startswith("map centered, scale fan_in, signs parity") for line in lines)
    assert sum(line.startswith("epoch ") for line in lines) == 3
    again = called("resume", result["run_dir"], "--json")
    assert json.loads(again.stdout.splitlines()[-1]) == result
    for kind in ("safetensors", "recipe", "pt2", "onnx"):
        exported = called("export", result["run_dir"], "--to", kind, "--out", tmp_path / kind)
        assert exported.returncode == 0, exported.stderr
        size = (tmp_path / kind).stat().st_size
        assert exported.stdout == f"{tmp_path / kind}: {size:,d} bytes\n"
    wrong = called("export", result["run_dir"], "--to", "zip")
    assert (wrong.returncode, "`to` is 'zip'" in wrong.stderr) == (2, True)
    missing = called("export", tmp_path / "nothing", "--to", "recipe")
    assert (missing.returncode, "is no run" in missing.stderr) == (1, True)


def test_mnist_says_what_the_papers_protocol_would_take(tmp_path, mnist_dir):
    finished = called(
        "train", "mnist", "--data-dir", mnist_dir, "--epochs", 1, "--train-samples", 500,
        "--reps", 1, "--out", tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "(the paper's own protocol is --paper: 220000 evaluations of all" in finished.stderr


def test_info():
    info = json.loads(called("info", "--json").stdout)
    assert info["profile"] == "release"
    assert {"qnnw", "torch", "numpy", "scipy", "python"} <= set(info["versions"])
    text = called("info").stdout
    assert "simd" in text
    assert "torch" in text


@pytest.mark.slow
def test_the_live_display(tmp_path):
    """On a terminal: one line per period stays, the bar is taken down."""
    import pty

    leader, follower = pty.openpty()
    command = [*QNNW, "train", "iris", *SHORT, "--out", str(tmp_path)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=follower, env=environment, close_fds=True
    )
    os.close(follower)
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = seen.decode()
    assert "evaluations/s" in text
    assert "left" in text
    assert text.count("period 2/2: loss") == 1
