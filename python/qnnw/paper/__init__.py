"""The paper's settings, figures and controls (Liu et al. 2024)."""

from __future__ import annotations

from qnnw.paper.presets import PRESETS

__all__ = ["PRESETS"]
