"""The losses of a run, and what is measured beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from qnnw._common.extras import needs
from qnnw.training.tasks import CLASSIFICATION, REGRESSION, Task

with needs("train", "qnnw.training.losses"):
    import torch
    from torch.nn import functional

HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split gives.

    Attributes
    ----------
    loss
        Classification: CE + N_fail / N, eq. 10. Regression: the mean of the loss.
    measures
        By the keys of :mod:`qnnw.training.tasks`: ``accuracy`` (1 - N_fail / N) and
        ``cross_entropy`` (CE, nats a sample); or ``r2`` (the mean over the outputs of
        1 - SS_rest / SS_total; of constant targets 1 where they are met, else 0) and ``rmse`` (in
        the units of the data).
    """

    loss: float
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Share of the samples that are classified right."""
        return self.measures["accuracy"]

    @property
    def cross_entropy(self) -> float:
        """Nats a sample."""
        return self.measures["cross_entropy"]


_cross_entropy = partial(functional.cross_entropy, reduction="sum")


def _binary(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Eq. 11 as printed, one class against the rest, on the softmax outputs."""
    log_p = functional.log_softmax(logits, dim=1)
    # log(1 - p) from the other classes' logits: no cancellation where p is near 1.
    others = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    spread = logits.unsqueeze(1).masked_fill(others, -torch.inf)
    log_rest = torch.logsumexp(spread, dim=2) - torch.logsumexp(logits, dim=1, keepdim=True)
    hot = functional.one_hot(labels, logits.shape[1]).bool()
    return -torch.where(hot, log_p, log_rest).sum()


def _per_output(loss: Any, outputs: torch.Tensor, targets: torch.Tensor) -> Any:
    return loss(outputs, targets, reduction="sum") / outputs[0].numel()


@dataclass(frozen=True)
class Loss:
    """A loss: the sum over the samples of a batch, and the task that it is for."""

    task: Task
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum over the batch; halves are computed in float32."""
        outputs, labels = matched(outputs, labels)
        return self.function(outputs, labels)


LOSSES = {
    "cross-entropy": Loss(CLASSIFICATION, _cross_entropy),
    "binary": Loss(CLASSIFICATION, _binary),
    "mse": Loss(REGRESSION, partial(_per_output, functional.mse_loss)),
    "mae": Loss(REGRESSION, partial(_per_output, functional.l1_loss)),
}


def step_loss(name: str, label_smoothing: float = 0.0) -> Loss:
    """The loss that a step goes down: by its name, perhaps with smoothed labels.

    With a share s of smoothing the label of a sample is 1 - s + s/K for its class and s/K for the
    other K - 1, as Szegedy et al. (2016) have it.

    Raises
    ------
    ValueError
        Labels of this loss cannot be smoothed.
    """
    if label_smoothing == 0:
        return LOSSES[name]
    if name != "cross-entropy":
        raise ValueError(
            f"`label_smoothing` is {label_smoothing}; the loss {name!r} takes none, only "
            "'cross-entropy' does"
        )
    return Loss(CLASSIFICATION, partial(_cross_entropy, label_smoothing=label_smoothing))


def matched(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs in at least float32; those of one target, (n, 1), as its targets, (n,)."""
    if outputs.dtype in HALVES:
        outputs = outputs.float()
    if not labels.is_floating_point():
        return outputs, labels
    if outputs.dim() == 2 and labels.dim() == 1 and outputs.shape[1] == 1:
        outputs = outputs.squeeze(1)
    return outputs, labels.to(outputs.dtype)


def check_labels(loss: str, labels: torch.Tensor) -> Loss:
    """The loss by its name; a ``ValueError`` where there is none such, or none for these labels."""
    task = REGRESSION if labels.is_floating_point() else CLASSIFICATION
    if loss not in task.losses:
        known = ", ".join(map(repr, task.losses))
        raise ValueError(f"`loss` is {loss!r}; for a {task.name} it must be one of {known}")
    return LOSSES[loss]


def check_outputs(outputs: object, labels: torch.Tensor, num_outputs: int | None = None) -> None:
    """Refuse a network whose outputs do not fit the labels.

    Raises
    ------
    TypeError
        It puts out no tensor.
    ValueError
        The shape is another.
    """
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(
            f"`network` puts out an object of type {type(outputs).__name__}; it must be a tensor"
        )
    shape, samples = tuple(outputs.shape), len(outputs)
    if labels.is_floating_point():
        width = 1 if labels.dim() == 1 else labels.shape[1]
        fits = shape == (samples, width) or (width == 1 and shape == (samples,))
        needed = f"(samples, {width}), one a target"
    else:
        width = num_outputs or max(2, int(labels.max()) + 1)
        fits = len(shape) == 2 and (
            shape[1] == width if num_outputs is not None else shape[1] >= width
        )
        needed = f"(samples, {width}), one a class"
    if not fits:
        raise ValueError(
            f"`network` puts out shape {('samples', *shape[1:])} for inputs of shape "
            f"(samples, …); the data need {needed}".replace("'", "")
        )


#: Adds up what chunks of a split give: ``part`` is the loss's sum over a chunk, and the sums that
#: the measures need; ``total`` is all chunks together.
Meter: TypeAlias = "_Classified | _Regressed"


def meter_of(
    loss: Loss, labels: torch.Tensor, target_scale: Sequence[float] | None = None
) -> Meter:
    """The meter of a split."""
    if loss.task is CLASSIFICATION:
        return _Classified(loss)
    return _Regressed(loss, labels, target_scale)


class _Classified:
    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def part(self, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[float, Sequence[float]]:
        failed = (outputs.argmax(dim=1) != labels).sum()
        return float(self._loss(outputs, labels)), (int(failed),)

    def total(self, parts: Sequence[tuple[float, Sequence[float]]], samples: int) -> Evaluation:
        cross_entropy = sum(part[0] for part in parts) / samples
        failed = sum(part[1][0] for part in parts) / samples
        measures = {"cross_entropy": cross_entropy, "accuracy": 1.0 - failed}
        return Evaluation(cross_entropy + failed, measures)


class _Regressed:
    def __init__(
        self, loss: Loss, labels: torch.Tensor, target_scale: Sequence[float] | None
    ) -> None:
        self._loss = loss
        targets = labels.detach().cpu().double().reshape(len(labels), -1).numpy()
        self._spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
        scale = np.ones(1) if target_scale is None else np.asarray(target_scale, dtype=np.float64)
        self._squared_scale = np.square(scale)

    def part(self, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[float, Sequence[float]]:
        outputs, labels = matched(outputs, labels)
        rest = (outputs.double() - labels.double()).square().reshape(len(labels), -1).sum(dim=0)
        return float(self._loss(outputs, labels)), rest.tolist()

    def total(self, parts: Sequence[tuple[float, Sequence[float]]], samples: int) -> Evaluation:
        rest = np.sum([part[1] for part in parts], axis=0)
        constant = self._spread == 0
        shares = np.where(constant, rest > 0, rest / np.where(constant, 1.0, self._spread))
        mean = float((rest * self._squared_scale).mean() / samples)
        measures = {"r2": float(1.0 - shares.mean()), "rmse": float(np.sqrt(mean))}
        return Evaluation(sum(part[0] for part in parts) / samples, measures)
