from __future__ import annotations

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import image

from qnnw._common.files import write_atomically
from qnnw._common.tensors import ModelFileError
from qnnw.nn import tensorfile
from qnnw.training.plots import plot_history, plot_run, plot_weights
from qnnw.training.record import RecordError, RunFolder

CONFIG = {"config": {"dataset": "iris", "reps": 1, "shots": None, "seed": 0}}


def history(periods):
    return [
        {
            "period": k,
            "loss": 1.5 / k,
            "seconds": 0.1,
            "train_accuracy": 1 - 0.5 / k,
            "test_accuracy": 1 - 0.6 / k,
        }
        for k in range(1, periods + 1)
    ]


@pytest.mark.parametrize("periods", [1, 2, 100])
def test_draws_the_history(tmp_path, periods):
    folder = RunFolder.create(tmp_path, "run", CONFIG)
    folder.write_checkpoint({}, {}, history(periods))
    path = plot_history(folder.path)
    picture = image.imread(io.BytesIO(path.read_bytes()))
    assert path == folder.picture_path
    assert min(picture.shape[:2]) > 400
    # Curves of three kinds on white.
    colours = np.unique((picture[..., :3] * 15).astype(int).reshape(-1, 3), axis=0)
    assert len(colours) > 20


def test_names_are_no_formulas_and_nobodys_settings_change(tmp_path):
    config = {"config": {**CONFIG["config"], "dataset": r"a$\frac$b"}}
    folder = RunFolder.create(tmp_path, "run", config)
    folder.write_checkpoint({}, {}, history(2))
    # Looked at as they are: asking for the back end by its name would choose one.
    before = list(dict.items(matplotlib.rcParams))
    plot_history(folder.path)
    assert list(dict.items(matplotlib.rcParams)) == before
    assert "matplotlib.pyplot" not in plotting_modules(folder.path)


def plotting_modules(path):
    """What a process has imported that has drawn a run."""
    script = (
        "import sys; from qnnw.training.plots import plot_run, plot_history\n"
        f"plot_history({str(path)!r}); print(*sys.modules)"
    )
    return subprocess.check_output([sys.executable, "-c", script], text=True).split()


def test_nothing_to_draw(tmp_path):
    folder = RunFolder.create(tmp_path, "run", CONFIG)
    with pytest.raises(RecordError, match="has no finished period or epoch to draw"):
        plot_history(folder.path)


def finished_run(tmp_path):

    folder = RunFolder.create(tmp_path, "run", CONFIG)
    folder.write_checkpoint({}, {}, history(5))
    rng = np.random.default_rng(0)
    tensors = {"fc1.weight": rng.normal(size=(16, 4)), "fc1.bias": rng.normal(size=16)}
    described = {"settings_sha256": folder.settings_digest}
    torch_tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
    write_atomically(folder.model_path, tensorfile.pack(torch_tensors, described))
    return folder, tensors


def test_a_run_is_drawn_as_png_and_svg(tmp_path):
    folder, _ = finished_run(tmp_path)
    names = [path.name for path in plot_run(folder.path)]
    assert names == ["history.png", "history.svg", "weights.png", "weights.svg"]
    svg = (folder.path / "weights.svg").read_bytes()
    assert b"80 weights" in svg
    plot_run(folder.path)
    assert (folder.path / "weights.svg").read_bytes() == svg


def test_the_histogram_counts_every_weight(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    folder, tensors = finished_run(tmp_path)
    seen = []
    real = Axes.hist
    monkeypatch.setattr(
        Axes, "hist", lambda self, values, **more: seen.append(values) or real(self, values, **more)
    )
    plot_weights(folder.path)
    expected = np.concatenate([tensor.reshape(-1) for tensor in tensors.values()])
    assert np.array_equal(np.sort(seen[0]), np.sort(expected))


def test_a_damaged_model_is_named(tmp_path):
    folder, _ = finished_run(tmp_path)
    whole = folder.model_path.read_bytes()
    for damaged in (b"nothing", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        folder.model_path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"model\.safetensors' is"):
            plot_weights(folder.path)


def test_another_runs_model_is_not_drawn(tmp_path):
    folder, _ = finished_run(tmp_path)
    other = RunFolder.create(tmp_path, "other", {"config": {**CONFIG["config"], "seed": 1}})
    write_atomically(other.model_path, folder.model_path.read_bytes())
    with pytest.raises(RecordError, match="does not belong"):
        plot_weights(other.path)


def test_curves_differ_without_their_colours():
    from qnnw._common.drawing import STYLES

    assert len({(repr(line), marker) for _, line, marker in STYLES}) == len(STYLES)


def test_the_command_draws_without_torch(tmp_path):
    import subprocess
    import sys

    folder, _ = finished_run(tmp_path)
    script = (
        "import sys; sys.argv[1:] = ['plot', sys.argv[1]]\n"
        "from qnnw.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(folder.path)], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == str(folder.path / "weights.svg")


def test_it_needs_no_torch():
    import subprocess
    import sys

    script = "import qnnw.training.plots, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
