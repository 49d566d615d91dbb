"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor

from qnnw.sklearn.base import QuantumTrainEstimator, has_steps


class QuantumTrainRegressor(RegressorMixin, QuantumTrainEstimator):  # type: ignore[misc]
    """Regressor that trains a torch network through :class:`qnnw.nn.QuantumTrain`.

    The loss is the mean squared error of targets that are standardised by the training set;
    predictions are in the targets' own units. Standardise the features first, as in
    ``make_pipeline(StandardScaler(), QuantumTrainRegressor())``.

    Parameters
    ----------
    network
        ``None``: linear(n_features → 16), ReLU, linear(16 → n_outputs), in float64. Otherwise a
        function of ``(n_features, n_outputs)`` that gives a torch module, or a module, which is
        copied: from inputs of shape (samples, n_features) to outputs of shape (samples, n_outputs).
    source, circuit, reps, entanglement, gamma, signs, mapping, scale, shots, optimizer
    learning_rate, epochs, batch_size, max_evaluations, early_stopping, validation_fraction
    n_iter_no_change, tol, warm_start, device, random_state
        As for :class:`qnnw.sklearn.QuantumTrainClassifier`; early stopping watches R².

    Attributes
    ----------
    n_features_in_ : int
    model_, network_
        The trained model with its circuit, and the network without: standardised targets come out.
    target_mean_, target_scale_ : ndarray, shape (n_outputs,)
        Predictions are ``target_mean_ + target_scale_ * output``.
    loss_ : float
        The loss on the training data, with the samples' weights.
    n_iter_ : int
        Steps of the optimiser, or evaluations.
    validation_scores_, best_validation_score_
        R², with early stopping.
    """

    @available_if(has_steps)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> QuantumTrainRegressor:
        """One epoch on these samples, at the full learning rate, from where the model stands.

        The first call's targets decide how all are standardised.

        Raises
        ------
        TypeError, ValueError
            The data or a setting cannot be used.
        """
        self._fit_more(X, y, sample_weight, not hasattr(self, "model_"))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Targets, shape (n_samples,) or (n_samples, n_outputs) as they came."""
        outputs = self._outputs(X).numpy().reshape(-1, self._num_outputs)
        targets: NDArray[np.float64] = self.target_mean_ + self.target_scale_ * outputs
        return targets[:, 0] if self._flat else targets

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @property
    def _num_outputs(self) -> int:
        return len(self.target_mean_)

    def _validated(self, x: Any, y: Any, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        features, targets = validate_data(
            self, x, y, reset=reset, multi_output=True, y_numeric=True
        )
        return features, targets

    def _encode(
        self, targets: NDArray[Any], weights: NDArray[Any] | None, reset: bool
    ) -> NDArray[Any]:
        table = targets.reshape(len(targets), -1).astype(np.float64)
        if reset:
            self._flat = targets.ndim == 1
            self.target_mean_ = np.average(table, axis=0, weights=weights)
            spread = np.average(np.square(table - self.target_mean_), axis=0, weights=weights)
            self.target_scale_ = np.where(spread > 0, np.sqrt(spread), 1.0)
        elif table.shape[1] != self._num_outputs:
            raise ValueError(
                f"`y` has {table.shape[1]} targets a sample; the model has {self._num_outputs}"
            )
        return (table - self.target_mean_) / self.target_scale_

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.reshape(targets.shape) - targets).square().mean(dim=1)

    def _score(self, outputs: Tensor, targets: Tensor) -> float:
        spread = (targets - targets.mean(dim=0)).square().mean().clamp_min(1e-30)
        return float(1 - self._losses(outputs, targets).mean() / spread)
