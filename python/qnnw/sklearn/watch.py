"""Early stopping on samples held out of the training set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor


class Watch:
    """Scores the model on held-out samples after each epoch, and keeps the best state.

    Parameters
    ----------
    estimator
        With its ``model_``; gets ``validation_scores_`` and ``best_validation_score_``.
    inputs, targets
        All samples; ``train`` are the places of those to train on.
    seed
        Of the split, which is stratified for a classifier.
    """

    def __init__(self, estimator: Any, inputs: Tensor, targets: Tensor, seed: int) -> None:
        train, held = train_test_split(
            np.arange(len(targets)),
            test_size=float(estimator.validation_fraction),
            stratify=None if targets.is_floating_point() else targets.cpu().numpy(),
            random_state=seed,
        )
        self.train = torch.from_numpy(np.sort(train)).to(targets.device)
        held = torch.from_numpy(np.sort(held)).to(targets.device)
        self._estimator, self._inputs, self._targets = estimator, inputs[held], targets[held]
        estimator.validation_scores_ = []
        estimator.best_validation_score_ = -np.inf
        self._unchanged = 0
        self._best = self._state()

    def stops(self) -> bool:
        """Score once more; whether nothing got better for long enough."""
        estimator = self._estimator
        model = estimator.model_.eval()
        with torch.no_grad():
            score = float(estimator._score(model(self._inputs), self._targets))
        best = estimator.best_validation_score_
        self._unchanged = 0 if score > best + estimator.tol else self._unchanged + 1
        if score > best:
            estimator.best_validation_score_, self._best = score, self._state()
        estimator.validation_scores_.append(score)
        return bool(self._unchanged >= estimator.n_iter_no_change)

    def restore(self) -> None:
        """Go back to the best epoch."""
        self._estimator.model_.load_state_dict(self._best)

    def _state(self) -> dict[str, Tensor]:
        state = self._estimator.model_.state_dict()
        return {name: tensor.clone() for name, tensor in state.items()}
