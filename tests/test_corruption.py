"""Every file that qnnw writes, damaged in more than 300 ways: named, or read as it was written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corruption import KINDS, LIMIT_BYTES, made
from tiers import slowly

SCRIPT = Path(__file__).with_name("corruption.py")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    made(folder)
    return folder


@pytest.mark.parametrize("kind", [kind if kind == "recipe" else slowly(kind) for kind in KINDS])
def test_damage_is_named_or_harmless(kind, files, tmp_path):
    folder = shutil.copytree(files, tmp_path / "files")
    command = [sys.executable, str(SCRIPT), kind, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    assert found["bad"] == []
    assert sum(found["counts"].values()) >= 300
    # The harness itself would see nothing if nothing were refused.
    assert found["counts"].get("typed", 0) >= (0 if kind == "run-history" else 50)
    assert found["peak"] < LIMIT_BYTES
