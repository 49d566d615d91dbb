from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image

from qnnw.plots import plot_history
from qnnw.record import RecordError, RunFolder

CONFIG = {"config": {"dataset": "iris", "reps": 1, "shots": None, "seed": 0}}


def history(periods):
    return [
        {"period": k, "loss": 1.5 / k, "train_accuracy": 1 - 0.5 / k, "test_accuracy": 1 - 0.6 / k}
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


def test_nothing_to_draw(tmp_path):
    folder = RunFolder.create(tmp_path, "run", CONFIG)
    with pytest.raises(RecordError, match="has no finished period or epoch to draw"):
        plot_history(folder.path)


def test_it_needs_no_torch():
    import subprocess
    import sys

    script = "import qnnw.plots, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
