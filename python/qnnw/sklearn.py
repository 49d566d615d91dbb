"""A scikit-learn classifier whose network's weights a quantum circuit makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.extras import needs
from qnnw.optim.derivative_free import Cobyla, FastCobyla, Optimizer, Spsa
from qnnw.optim.schedules import one_cycle
from qnnw.training.config import OPTIMIZERS, one_of

with needs("train", "qnnw.sklearn"):
    import torch
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
    from torch import nn
    from torch.nn import functional

    from qnnw.nn import QuantumTrain

__all__ = ["QuantumTrainClassifier"]

Network = Callable[[int, int], nn.Module]


class QuantumTrainClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifier that trains a torch network through :class:`qnnw.nn.QuantumTrain`.

    The loss is the mean cross-entropy, in nats. Standardise the features first, as in
    ``make_pipeline(StandardScaler(), QuantumTrainClassifier())``.

    Parameters
    ----------
    network
        ``None``: linear(n_features → 16), ReLU, linear(16 → n_classes), in float64. Otherwise a
        function of ``(n_features, n_classes)`` that gives a torch module, or a module, which is
        copied: from inputs of shape (samples, n_features) to logits of shape (samples, n_classes).
    reps, entanglement, gamma, signs, mapping, scale, shots
        Circuit and map; see :class:`qnnw.nn.QuantumTrain`.
    optimizer
        ``"adam"``: exact gradients; ``"cobyla"``, ``"cobyla-fast"`` or ``"spsa"``: values of the
        loss alone, over all samples, for angles and gamma together.
    learning_rate
        Peak of a one-cycle schedule for Adam; for the others the length of the first step.
    epochs, batch_size
        For Adam.
    max_evaluations
        For COBYLA and SPSA.
    random_state
        Seed of the angles, the map, the order of the samples and the shots.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    n_features_in_ : int
    model_ : qnnw.nn.QuantumTrain
        The trained model, with its circuit.
    network_ : torch.nn.Module
        The trained network, without: what predicts.
    loss_ : float
        The loss on the training data.
    n_iter_ : int
        Steps of Adam, or evaluations.
    """

    def __init__(
        self,
        network: Network | nn.Module | None = None,
        *,
        reps: int = 10,
        entanglement: str = "linear",
        gamma: float = 0.3,
        signs: str = "parity",
        mapping: str = "centered",
        scale: str = "none",
        shots: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 0.05,
        epochs: int = 100,
        batch_size: int = 32,
        max_evaluations: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.reps = reps
        self.entanglement = entanglement
        self.gamma = gamma
        self.signs = signs
        self.mapping = mapping
        self.scale = scale
        self.shots = shots
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.max_evaluations = max_evaluations
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> QuantumTrainClassifier:  # noqa: N803
        """Train on samples X, shape (n_samples, n_features), with labels y, shape (n_samples,).

        Raises
        ------
        ValueError
            The data or a setting cannot be used.
        """
        self._check_settings()
        features, targets = validate_data(self, X, y)
        check_classification_targets(targets)
        self.classes_, encoded = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"`y` has one class, {self.classes_[0]!r}; the classifier needs at least two"
            )
        seed = int(check_random_state(self.random_state).randint(2**31))
        # A network's own random choices (dropout, its discarded weights) come from the seed too,
        # and the global generator is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = QuantumTrain(
                self._build_network(features.shape[1], len(self.classes_)),
                reps=self.reps,
                entanglement=self.entanglement,
                gamma=self.gamma,
                signs=self.signs,
                mapping=self.mapping,
                scale=self.scale,
                seed=seed,
                shots=self.shots,
            )
            inputs, labels = self._inputs(features), torch.from_numpy(encoded.astype(np.int64))
            train = self._by_gradients if self.optimizer == "adam" else self._by_values
            self.n_iter_ = train(inputs, labels, seed)
        self.model_.eval()
        self.network_ = self.model_.merge_and_unload()
        with torch.no_grad():
            self.loss_ = float(functional.cross_entropy(self.network_(inputs), labels))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities of the classes, shape (n_samples, n_classes), in ``classes_`` order."""
        check_is_fitted(self)
        features = validate_data(self, X, reset=False)
        with torch.no_grad():
            logits = self.network_(self._inputs(features)).to(torch.float64)
        probabilities: NDArray[np.float64] = torch.softmax(logits, dim=1).numpy()
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The likeliest class of every sample, shape (n_samples,)."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def _check_settings(self) -> None:
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("epochs", "batch_size", "max_evaluations"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"`{name}` is {value}; it must be at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                f"`learning_rate` is {self.learning_rate}; it must be positive and finite"
            )

    def _build_network(self, num_features: int, num_classes: int) -> nn.Module:
        if self.network is None:
            return nn.Sequential(
                nn.Linear(num_features, 16), nn.ReLU(), nn.Linear(16, num_classes)
            ).double()
        if isinstance(self.network, nn.Module):
            return self.network
        return self.network(num_features, num_classes)

    def _inputs(self, features: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(features)).to(self.model_.targets[0].dtype)

    def _by_gradients(self, inputs: torch.Tensor, labels: torch.Tensor, seed: int) -> int:
        model = self.model_.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        rng = np.random.default_rng(seed)
        steps = self.epochs * -(-len(labels) // self.batch_size)
        done = 0
        for _ in range(self.epochs):
            order = torch.from_numpy(rng.permutation(len(labels)))
            for batch in order.split(self.batch_size):  # type: ignore[no-untyped-call]
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * one_cycle(done / steps, 0.05)
                optimizer.zero_grad()
                functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                done += 1
        return done

    @torch.no_grad()
    def _by_values(self, inputs: torch.Tensor, labels: torch.Tensor, seed: int) -> int:
        model = self.model_.eval()

        def set_point(point: NDArray[np.float64]) -> None:
            model.angles.copy_(torch.from_numpy(point[:-1]))
            model.gamma.fill_(float(point[-1]))

        def objective(point: NDArray[np.float64]) -> float:
            set_point(point)
            model.draws.add_(1)
            return float(functional.cross_entropy(model(inputs), labels))

        start = np.append(model.angles.double().numpy(), float(model.gamma.detach()))
        method: Optimizer = (
            Spsa(step=self.learning_rate, seed=seed)
            if self.optimizer == "spsa"
            else (FastCobyla if self.optimizer == "cobyla-fast" else Cobyla)(
                rhobeg=self.learning_rate, rotation=seed
            )
        )
        outcome = method.minimize(objective, start, self.max_evaluations)
        set_point(outcome.point)
        return outcome.evaluations
