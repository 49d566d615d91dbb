"""The guide's scripts run as they are, and say what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"
EXPECTED = {
    "train_your_own_model": r"trainable params: 309 .*test accuracy 0\.(8[89]|9\d)\d",
    "merge_and_ship": "^$",
    "bring_your_circuit": r"^56 parameters, 42 that .*numbers, accuracy 0\.9.*same plan: True$",
    "bring_your_own_source": r"^32 numbers, accuracy 0\.9\d",
    "train_on_your_own_data": r"wine: (0\.9\d\d|1\.000) with 91 numbers\nregression: R2 0\.9\d\d",
    "tune_a_pretrained_network": r"before 0\.9\d+, shifted 0\.[0-5].*adapted 0\.[89].*without 0\.9",
    "compress_to_a_recipe": r"^[23]\d\d\d bytes for 6690 weights$",
    "sweep_a_grid": r"'reps': 1, 'shots': None\} 0\.\d+ ± .*'reps': 2, 'shots': 2560\} 0\.\d+ ±",
    "search_settings": r"8 tried, the best: \{'reps': [1-4], 'lr': 0\.\d+, 'entanglement'",
    "run_on_a_device": r"^16 angles, 25 circuits in 1 job\nfake_montreal: 6 jobs, depth \d+, 2021-",
    "noise_and_a_trained_network": r"exact: 0\.[6-9].*\ntrained against noise: 0\.[5-9]",
    "use_your_own_optimiser": r"AdamW 0\.[01]\d\d, EigenAdam 0\.[01].*BFGS 0\.[01].*shots 0\.[0-7]",
}


def test_every_script_has_its_page():
    names = {path.stem for path in GUIDE.glob("*.py")}
    assert names == set(EXPECTED)
    assert {path.stem for path in GUIDE.glob("*.md")} == names
    for path in GUIDE.glob("*.md"):
        shown = re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
        script = path.with_suffix(".py").read_text()
        assert shown, path
        for block in shown:
            assert block in script, f"{path.name} shows what its script does not hold:\n{block}"


@pytest.mark.parametrize("name", EXPECTED)
def test_the_script_runs(name, tmp_path):
    finished = subprocess.run(
        [sys.executable, str(GUIDE / f"{name}.py")],
        capture_output=True, text=True, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert re.search(EXPECTED[name], finished.stdout.strip(), flags=re.DOTALL), finished.stdout
