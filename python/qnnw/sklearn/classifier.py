"""The classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch import Tensor
from torch.nn import functional

from qnnw.sklearn.base import QuantumTrainEstimator, has_steps


@dataclass(kw_only=True, eq=False, repr=False)
class QuantumTrainClassifier(ClassifierMixin, QuantumTrainEstimator):  # type: ignore[misc]
    """Classifier that trains a torch network through :class:`qnnw.nn.QuantumTrain`.

    The loss is the mean cross-entropy, in nats. Standardise the features first, as in
    ``make_pipeline(StandardScaler(), QuantumTrainClassifier())``. :meth:`paper` has the paper's
    map.

    Parameters
    ----------
    network
        ``None``: linear(n_features → 16), ReLU, linear(16 → n_classes), in float64. Otherwise a
        function of ``(n_features, n_classes)`` that gives a torch module, or a module, which is
        copied: from inputs of shape (samples, n_features) to logits of shape (samples, n_classes).
    class_weight
        ``None``, ``"balanced"``, or class to weight: multiplies the samples' weights.
    source, circuit, reps, entanglement, gamma, signs, mapping, scale, shots
        What makes the weights; see :class:`qnnw.nn.QuantumTrain`. With ``source`` the others have
        no part.
    optimizer
        ``"eigen-adam"``: exact gradients, Adam in their eigenbasis; ``"adam"``: Adam itself.
        ``"cobyla"``, ``"cobyla-fast"`` or ``"spsa"``: values of the loss alone, over all samples,
        for all of the source's numbers together.
    learning_rate
        Peak of a one-cycle schedule for gradients; for the others the length of the first step.
    epochs, batch_size
        For gradients. A last batch of one sample joins the one before where the network normalises
        by the batch.
    max_evaluations
        For COBYLA and SPSA.
    early_stopping, validation_fraction, n_iter_no_change, tol
        For gradients: hold a share of the samples out, stop when their score has not risen by
        ``tol`` for so many epochs, and keep the best epoch.
    warm_start
        ``fit`` goes on from the last model.
    device
        Where the network runs.
    random_state
        Seed of the angles, the map, the order of the samples, the split and the shots.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    n_features_in_ : int
    model_ : qnnw.nn.QuantumTrain
        The trained model, with its circuit.
    network_ : torch.nn.Module
        The trained network, without: what predicts.
    loss_ : float
        The loss on the training data, with the samples' weights.
    n_iter_ : int
        Steps of the optimiser, or evaluations.
    validation_scores_, best_validation_score_
        Accuracies, with early stopping.
    """

    class_weight: dict[Any, float] | str | None = None

    @available_if(has_steps)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> QuantumTrainClassifier:
        """One epoch on these samples, at the full learning rate, from where the model stands.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes
            All classes that will ever come; needed in the first call.

        Raises
        ------
        TypeError, ValueError
            The data or a setting cannot be used.
        """
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("`classes` must be given in the first call of partial_fit")
        if classes is not None:
            known = np.unique(np.asarray(classes))
            if first:
                self._set_classes(known)
            elif not np.array_equal(known, self.classes_):
                raise ValueError(f"`classes` is {known}; the first call had {self.classes_}")
        if self.class_weight == "balanced":
            raise ValueError(
                "`class_weight` is 'balanced', for which all samples are needed; give partial_fit "
                "the weights of the classes"
            )
        self._fit_more(X, y, sample_weight, first)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities of the classes, shape (n_samples, n_classes), in ``classes_`` order."""
        return torch.softmax(self._outputs(X), dim=1).numpy()

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The likeliest class of every sample, shape (n_samples,)."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    @property
    def _num_outputs(self) -> int:
        return len(self.classes_)

    def _validated(self, x: Any, y: Any, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        features, targets = validate_data(self, x, y, reset=reset)
        check_classification_targets(targets)
        return features, targets

    def _set_classes(self, classes: NDArray[Any]) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"`y` has one class, {classes.tolist()[0]!r}; the classifier needs at least two"
            )
        self.classes_ = classes

    def _encode(
        self,
        targets: NDArray[Any],
        weights: NDArray[Any] | None,  # noqa: ARG002
        reset: bool,
    ) -> NDArray[Any]:
        if reset:
            self._set_classes(np.unique(targets))
        unknown = np.setdiff1d(targets, self.classes_)
        if len(unknown):
            raise ValueError(
                f"`y` has the class {unknown.tolist()[0]!r}; the model knows "
                f"{self.classes_.tolist()}"
            )
        return np.searchsorted(self.classes_, targets).astype(np.int64)

    def _weights_for(
        self, encoded: NDArray[Any], weights: NDArray[Any] | None
    ) -> NDArray[Any] | None:
        if self.class_weight is None:
            return weights
        ones = np.ones(len(encoded)) if weights is None else weights
        if self.class_weight == "balanced":
            there = np.bincount(encoded, weights=ones, minlength=len(self.classes_))
            of_classes = ones.sum() / (len(self.classes_) * np.maximum(there, 1e-300))
        else:
            of_classes = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[encoded]
            )
        share: NDArray[Any] = np.asarray(of_classes)[encoded]
        weighted: NDArray[Any] = share * ones
        return weighted

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    def _score(self, outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(dim=1) == targets).double().mean())
