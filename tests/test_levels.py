"""Every instruction-set level that this machine has, forced by QNNW_SIMD."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tiers import slowly

HERE = Path(__file__).resolve().parent
LEVELS = ["portable", "avx2", "avx512"]


def machine_levels():
    """Levels by the system's own list of the processor's features; None where it has no list."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return ["portable"]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next(line for line in lines if line.startswith("flags")).split()
    levels = ["portable"]
    if {"avx2", "fma"} <= set(flags):
        levels.append("avx2")
        if {"avx512f", "avx512dq"} <= set(flags):
            levels.append("avx512")
    return levels


HAS = machine_levels()


def run(*arguments, level=None):
    environment = {name: value for name, value in os.environ.items() if name != "QNNW_SIMD"}
    if level is not None:
        environment["QNNW_SIMD"] = level
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def level_in_use(level=None):
    finished = run("-c", "import qnnw; print(qnnw.build_info()['simd'])", level=level)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.parametrize("level", [slowly(one) if one == "avx2" else one for one in LEVELS])
def test_a_level_agrees_with_the_reference(level):
    if HAS is None or level not in HAS:
        pytest.skip(f"this processor has no {level}")
    finished = run(HERE / "level_checks.py", level=level)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["simd"] == level
    assert found["same"]
    assert len(found["worst"]) == 12
    for quantity, error in found["worst"].items():
        assert error <= (1e-5 if quantity.endswith("float32") else 1e-12), (quantity, error)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_that_the_processor_lacks_is_refused(level):
    if HAS is None or level in HAS:
        pytest.skip(f"this processor has {level}")
    assert_refused(level)


@pytest.mark.parametrize("level", ["sse9", "AVX2", " portable", "0"])
def test_unknown_levels_are_refused(level):
    assert_refused(level)


def assert_refused(level):
    script = """
try:
    import qnnw
    qnnw.EfficientSU2(2, 1).probabilities([0.0] * 8)
except ValueError as error:
    print(error)
"""
    finished = run("-c", script, level=level)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(f'`QNNW_SIMD` is "{level}"; this processor has portable')
    if HAS is not None:
        assert finished.stdout.strip().endswith(f"has {', '.join(HAS)}")


@pytest.mark.skipif(HAS is None, reason="the system does not list the processor's features")
def test_the_best_level_is_the_default():
    assert level_in_use() == HAS[-1]
    assert level_in_use("") == HAS[-1]


@pytest.mark.slow
@pytest.mark.parametrize("level", HAS or ["portable"])
def test_info_prints_the_level(level):
    finished = run("-m", "qnnw", "info", level=level)
    assert finished.returncode == 0, finished.stderr
    assert ["simd", level] in [line.split() for line in finished.stdout.splitlines()]
