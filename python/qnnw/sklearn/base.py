"""What the classifier and the regressor share: settings, model, training, weights of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn

from qnnw._common.checks import flag, integer, one_of, real, refuse_masked
from qnnw._common.devices import as_device
from qnnw._common.seeds import derived_seed
from qnnw.circuit import Circuit
from qnnw.nn import QuantumTrain
from qnnw.nn.copying import copied
from qnnw.optim.derivative_free import Cobyla, FastCobyla, Optimizer, Spsa
from qnnw.optim.eigen_adam import EigenAdam
from qnnw.optim.schedules import one_cycle
from qnnw.sklearn.samples import merged
from qnnw.sklearn.watch import Watch
from qnnw.training.behaviour import seeded
from qnnw.training.gradient import batches
from qnnw.weights.settings import BEST, PAPER
from qnnw.weights.source import WeightSource

Network = Callable[[int, int], nn.Module]
MakeSource = Callable[[int], WeightSource]

BY_GRADIENTS = ("eigen-adam", "adam")
OPTIMIZERS = (*BY_GRADIENTS, "cobyla", "cobyla-fast", "spsa")
CIRCUIT = ("circuit", "reps", "entanglement", "gamma", "signs", "mapping", "scale", "shots")


def has_steps(estimator: Any) -> bool:
    """Whether the optimiser takes steps that can go on; a ``ValueError`` names another."""
    one_of("optimizer", estimator.optimizer, BY_GRADIENTS)
    return True


@dataclass(kw_only=True, eq=False, repr=False)
class QuantumTrainEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """What both estimators are; their own parts are targets, loss and prediction."""

    network: Network | nn.Module | None = field(default=None, kw_only=False)
    source: WeightSource | MakeSource | None = None
    circuit: str | Circuit | Callable[[int], Circuit] | None = None
    reps: int = 10
    entanglement: str = "linear"
    gamma: float = BEST["gamma"]
    signs: str = "parity"
    mapping: str = BEST["mapping"]
    scale: str = BEST["scale"]
    shots: int | None = None
    optimizer: str = "eigen-adam"
    learning_rate: float = 0.05
    epochs: int = 100
    batch_size: int = 32
    max_evaluations: int = 1000
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    device: str = "cpu"
    random_state: int | np.random.RandomState | None = None

    @classmethod
    def paper(cls, network: Network | nn.Module | None = None, **changed: Any) -> Any:
        """An estimator with the paper's map: ``mapping="paper"``, ``scale="none"``, ``gamma=0.3``.

        Parameters
        ----------
        network
            The network.
        changed
            Other arguments of the class.
        """
        return cls(network, **{**PAPER, **changed})

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Train on samples X, shape (n_samples, n_features), with labels or targets y.

        Parameters
        ----------
        X, y
            The training set.
        sample_weight
            Shape (n_samples,), not negative: the loss is the mean with these weights.

        Raises
        ------
        TypeError, ValueError
            The data or a setting cannot be used.
        """
        first = not (self.warm_start and hasattr(self, "model_"))
        train = self._by_gradients if self.optimizer in BY_GRADIENTS else self._by_values
        self.n_iter_ = self._trained(X, y, sample_weight, first, first, train)
        return self

    def _fit_more(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, first: bool
    ) -> None:
        """One epoch from where the model stands."""
        reset = first and not hasattr(self, "classes_")
        steps = self._trained(x, y, sample_weight, first, reset, self._epoch)
        self.n_iter_ = steps if first else self.n_iter_ + steps

    def _trained(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        first: bool,
        reset: bool,
        train: Callable[..., int],
    ) -> int:
        """Train a new model, or the one that is there; gives the steps or evaluations."""
        self._check_settings()
        features, targets, weights = self._samples(x, y, sample_weight, reset=first)
        encoded = self._encode(targets, weights, reset=reset)
        if first:
            self._seed = int(check_random_state(self.random_state).randint(2**31))
            self._fits = 0
        # A network's own random choices (dropout, its discarded weights) come from the seed too,
        # and the global generator is left as it was.
        self._fits += 1
        seed = self._seed if self._fits == 1 else derived_seed(self._seed, self._fits)
        with seeded(seed, as_device(self.device)):
            if first:
                self._build(features.shape[1])
            all_of = self._tensors(features, encoded, self._weights_for(encoded, weights))
            done = train(*all_of, np.random.default_rng(seed))
        self._finish(*all_of)
        return done

    @abstractmethod
    def _validated(self, x: Any, y: Any, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and targets as arrays."""

    @abstractmethod
    def _encode(
        self, targets: NDArray[Any], weights: NDArray[Any] | None, reset: bool
    ) -> NDArray[Any]:
        """What the loss takes: numbers of classes, or standardised targets."""

    @abstractmethod
    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every sample, shape (n,)."""

    @abstractmethod
    def _score(self, outputs: Tensor, targets: Tensor) -> float:
        """The score that early stopping watches."""

    @property
    @abstractmethod
    def _num_outputs(self) -> int: ...

    def _weights_for(
        self,
        encoded: NDArray[Any],  # noqa: ARG002
        weights: NDArray[Any] | None,
    ) -> NDArray[Any] | None:
        return weights

    def _check_settings(self) -> None:
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("epochs", "batch_size", "max_evaluations", "n_iter_no_change"):
            integer(name, getattr(self, name), least=1)
        real("learning_rate", self.learning_rate, above=0.0)
        real("tol", self.tol, least=0.0)
        for name in ("early_stopping", "warm_start"):
            flag(name, getattr(self, name))
        if self.early_stopping:
            one_of("optimizer", self.optimizer, BY_GRADIENTS)
            real("validation_fraction", self.validation_fraction, above=0.0, below=1.0)

    def _samples(
        self, x: Any, y: Any, given: ArrayLike | None, reset: bool
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]:
        refuse_masked(X=x, y=y, sample_weight=given)
        features, targets = self._validated(x, y, reset)
        if given is None:
            return merged(features, targets, None)
        weights: NDArray[np.float64] = _check_sample_weight(
            given, features, dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError(
                "`sample_weight` is zero for all samples; sample weights must contain at least one "
                "non-zero number"
            )
        return merged(features, targets, weights)

    def _build(self, num_features: int) -> None:
        device, outputs = as_device(self.device), self._num_outputs
        if self.network is None:
            layers = (nn.Linear(num_features, 16), nn.ReLU(), nn.Linear(16, outputs))
            network: nn.Module = nn.Sequential(*layers).double()
        elif isinstance(self.network, nn.Module):
            network = copied(self.network)
        else:
            network = self.network(num_features, outputs)
        network = network.to(device)
        if self.source is not None:
            self.model_ = QuantumTrain(network, self.source)
        else:
            circuit = {name: getattr(self, name) for name in CIRCUIT}
            self.model_ = QuantumTrain(network, seed=self._seed, **circuit)
        self._optimizers = self._new_optimizers() if self.optimizer in BY_GRADIENTS else []

    def _new_optimizers(self) -> list[torch.optim.Optimizer]:
        rate = float(self.learning_rate)
        if self.optimizer == "adam":
            return [torch.optim.Adam(self.model_.parameters(), lr=rate)]
        numbers = list(self.model_.numbers.values())
        made = {id(number) for number in numbers}
        rest = [p for p in self.model_.parameters() if id(p) not in made and p.requires_grad]
        # What is trained besides is too much, or too little, for a matrix of its products.
        plain = [torch.optim.Adam(rest, lr=rate)] if rest else []
        return [EigenAdam(numbers, lr=rate), *plain]

    def _inputs(self, features: NDArray[Any]) -> Tensor:
        target = self.model_.targets[0]
        return torch.from_numpy(np.ascontiguousarray(features)).to(target.device, target.dtype)

    def _tensors(
        self, features: NDArray[Any], encoded: NDArray[Any], weights: NDArray[Any] | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """All of it on the network's device."""
        inputs = self._inputs(features)
        targets = torch.from_numpy(encoded).to(inputs.device)
        if targets.is_floating_point():
            targets = targets.to(inputs.dtype)
        return inputs, targets, None if weights is None else torch.from_numpy(weights).to(inputs)

    def _loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        losses = self._losses(outputs, targets)
        if weights is None:
            return losses.mean()
        # A batch without weight, where a class has none, teaches nothing.
        return (losses * weights).sum() / weights.sum().clamp_min(1e-30)

    def _by_gradients(
        self, inputs: Tensor, targets: Tensor, weights: Tensor | None, rng: np.random.Generator
    ) -> int:
        watch = Watch(self, inputs, targets, self._seed) if self.early_stopping else None
        if watch is not None:
            inputs, targets = inputs[watch.train], targets[watch.train]
            weights = None if weights is None else weights[watch.train]
        done = 0
        for epoch in range(self.epochs):
            done += self._epoch(inputs, targets, weights, rng, epoch)
            if watch is not None and watch.stops():
                break
        if watch is not None:
            watch.restore()
        return done

    def _epoch(
        self,
        inputs: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        rng: np.random.Generator,
        epoch: int | None = None,
    ) -> int:
        """Pass over all samples once, at the schedule's rate if it is numbered; gives the steps."""
        self.model_.train()
        order = torch.from_numpy(rng.permutation(len(targets))).to(targets.device)
        parts = batches(order, int(self.batch_size), self.model_)
        for number, batch in enumerate(parts):
            share = None if epoch is None else (epoch + number / len(parts)) / self.epochs
            rate = 1.0 if share is None else one_cycle(share, 0.05)
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * rate
                optimizer.zero_grad()
            heavy = None if weights is None else weights[batch]
            self._loss(self.model_(inputs[batch]), targets[batch], heavy).backward()  # type: ignore[no-untyped-call]
            for optimizer in self._optimizers:
                optimizer.step()
        return len(parts)

    @torch.no_grad()
    def _by_values(
        self, inputs: Tensor, targets: Tensor, weights: Tensor | None, rng: np.random.Generator
    ) -> int:
        model, numbers = self.model_.eval(), list(self.model_.numbers.values())
        ends = np.cumsum([number.numel() for number in numbers])[:-1]

        def set_point(point: NDArray[np.float64]) -> None:
            for number, part in zip(numbers, np.split(point, ends), strict=True):
                number.copy_(torch.from_numpy(part))

        def objective(point: NDArray[np.float64]) -> float:
            set_point(point)
            model.draws.add_(1)
            return float(self._loss(model(inputs), targets, weights))

        start = np.concatenate([number.double().cpu().numpy() for number in numbers])
        # The fit's own seed where it is the first: what the last release took.
        seed = self._seed if self._fits == 1 else int(rng.integers(1 << 63))
        step = float(self.learning_rate)
        method: Optimizer = (
            Spsa(step=step, seed=seed)
            if self.optimizer == "spsa"
            else (FastCobyla if self.optimizer == "cobyla-fast" else Cobyla)(
                rhobeg=step, rotation=seed
            )
        )
        outcome = method.minimize(objective, start, int(self.max_evaluations))
        set_point(outcome.point)
        return outcome.evaluations

    def _finish(self, inputs: Tensor, targets: Tensor, weights: Tensor | None) -> None:
        self.model_.eval()
        self.network_ = self.model_.merge_and_unload()
        with torch.no_grad():
            self.loss_ = float(self._loss(self.network_(inputs), targets, weights))

    def _outputs(self, x: ArrayLike) -> Tensor:
        check_is_fitted(self)
        refuse_masked(X=x)
        features = validate_data(self, x, reset=False)
        with torch.no_grad():
            outputs: Tensor = self.network_(self._inputs(features)).to("cpu", torch.float64)
        return outputs
