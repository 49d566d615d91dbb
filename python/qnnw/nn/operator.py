"""A source of weights as functions of torch, with all their derivatives.

With w(n) the weights of the numbers n, J = dw/dn and u a cotangent:

================  ==================================================================
:class:`Make`     w(n)
:class:`Back`     J^T u: the way back of ``Make``
:class:`Push`     J t: its forward derivative
:class:`Turn`     d(J^T u)/dn t: what second derivatives of both come to
================  ==================================================================

Third derivatives are refused. Each is taken one by one under ``torch.func.vmap``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from qnnw.nn.layout import Layout, to_device, to_host
from qnnw.weights.device_sources import forward_on, goes_on
from qnnw.weights.source import Pullback, WeightSource

#: Devices that have double precision, which angles need.
ACCELERATORS = {"cuda", "xpu"}


class Call:
    """What one evaluation needs besides tensors.

    Parameters
    ----------
    source, layout
        What makes the weights, and where they go.
    names
        The groups' names, in the order of the numbers.
    draw
        Number of the measurement.
    record
        Whether a way back may be asked for.
    transformed
        Whether a transform of ``torch.func`` or forward mode is at work.
    """

    def __init__(
        self, source: WeightSource, layout: Layout, names: tuple[str, ...], draw: int,
        record: bool, transformed: bool,
    ) -> None:  # fmt: skip
        self.source, self.layout, self.names = source, layout, names
        self.count = len(names)
        self.draw, self.record, self.transformed = draw, record, transformed
        #: The numbers on the host, where somebody has brought them already.
        self.host: dict[str, NDArray[Any]] | None = None
        self.pullback: Pullback | None = None
        self._back_there: Callable[[Tensor], dict[str, Tensor]] | None = None

    def fresh(self) -> Call:
        """The same call for other numbers."""
        return Call(self.source, self.layout, self.names, self.draw, False, True)

    def made(self, numbers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The weights in the layout's buffers."""
        device = None if self.transformed else device_of(self.source, self.layout, numbers)
        if device is not None:
            flat, back = forward_on(self.source, self._by_name(numbers), device)
            self._back_there = back if self.record else None
            return self.layout.place(flat)
        parameters = self.parameters(numbers) if self.host is None else self.host
        if not self.record:
            return self.layout.pack(self.source.weights(parameters, self.draw))
        weights, self.pullback = self.source.forward(parameters, self.draw)
        return self.layout.pack(weights)

    def brought_back(
        self, numbers: tuple[Tensor, ...], cotangents: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """J^T u."""
        if self._back_there is not None:
            there = self._back_there(self.layout.flat(cotangents))
            pairs = zip(self.names, numbers, strict=True)
            return tuple(there[name].reshape(number.shape).to(number) for name, number in pairs)
        pullback = self.pullback
        if pullback is None:
            pullback = self.source.forward(self.parameters(numbers), self.draw)[1]
        return self.like(pullback(self.layout.unpack(cotangents)), numbers)

    def parameters(self, numbers: tuple[Tensor, ...]) -> dict[str, NDArray[Any]]:
        """The numbers as the source takes them; copies: sharding could not free what NumPy sees."""
        if all(number.device.type == "cpu" for number in numbers):
            return {name: n.clone().numpy() for name, n in self._by_name(numbers).items()}
        flat = to_host(torch.cat([number.detach().reshape(-1) for number in numbers]))
        parts = torch.split(flat, [number.numel() for number in numbers])
        return {name: part.numpy() for name, part in zip(self.names, parts, strict=True)}

    def _by_name(self, numbers: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {name: n.detach() for name, n in zip(self.names, numbers, strict=True)}

    def like(
        self, found: dict[str, NDArray[Any]], numbers: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Gradients as tensors like the numbers."""
        flat = torch.cat([torch.from_numpy(found[name]).reshape(-1) for name in self.names])
        there = to_device(flat.to(numbers[0].dtype), numbers[0].device)
        parts = torch.split(there, [number.numel() for number in numbers])
        return tuple(p.reshape(n.shape).to(n) for p, n in zip(parts, numbers, strict=True))

    def derivative(self, name: str) -> Any:
        """A method that a source may lack."""
        method = getattr(self.source, name, None)
        if method is None:
            raise RuntimeError(
                f"{type(self.source).__name__} has no `{name}`: weights made by it have no forward "
                "and no second derivatives; take first ones by backward()"
            )
        return method


def device_of(
    source: WeightSource, layout: Layout, numbers: tuple[Tensor, ...]
) -> torch.device | None:
    """The accelerator on which the source makes all of the layout; ``None``: the core does."""
    device = layout.device
    if device is None or device.type not in ACCELERATORS or not goes_on(source):
        return None
    return device if all(number.device == device for number in numbers) else None


def make(call: Call, fingerprint: Tensor, numbers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The buffers with the weights of these numbers; see :class:`qnnw.nn.layout.Layout`."""
    made: tuple[Tensor, ...] = Make.apply(call, fingerprint, *numbers)
    return made


def _one_by_one(
    function: Any, info: Any, in_dims: tuple[Any, ...], call: Call, *tensors: Any
) -> Any:
    """``vmap``: a call for each entry, their results stacked."""
    dims = in_dims[1:]
    moved = any(dim is not None for dim in dims[: call.count])
    rows = []
    for entry in range(info.batch_size):
        row = [
            tensor if dim is None else tensor.select(dim, entry)
            for tensor, dim in zip(tensors, dims, strict=True)
        ]
        rows.append(function.apply(call.fresh() if moved else call, *row))
    stacked = tuple(torch.stack(column) for column in zip(*rows, strict=True))
    return stacked, (0,) * len(stacked)


class _Function(torch.autograd.Function):
    """Takes a call, then tensors; keeps all of them."""

    def __init_subclass__(cls) -> None:
        """``vmap`` takes the entries one by one."""
        if "vmap" not in cls.__dict__:
            setattr(cls, "vmap", staticmethod(partial(_one_by_one, cls)))  # noqa: B010

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep the call and the tensors."""
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)


def transformed(tensors: tuple[Tensor, ...]) -> bool:
    """Whether a transform of torch.func or forward mode is at work on one of them."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    if any(wrapped(tensor) for tensor in tensors):
        return True
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)  # type: ignore[no-untyped-call]


def _zeros_for(tensors: Any, tangents: Any) -> list[Tensor]:
    return [
        torch.zeros_like(tensor) if tangent is None else tangent
        for tensor, tangent in zip(tensors, tangents, strict=True)
    ]


class Make(_Function):
    """w(n), in the layout's buffers: (call, fingerprint, *numbers) -> buffers."""

    @staticmethod
    def forward(call: Call, fingerprint: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG004
        """Evaluate."""
        return call.made(numbers)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep the numbers: as saved tensors, which torch lets go, only where a transform asks."""
        ctx.call, _fingerprint, *numbers = inputs
        ctx.numbers = None
        if ctx.call.transformed:
            ctx.save_for_backward(*numbers)
            ctx.save_for_forward(*numbers)
        else:
            # The graph serves several backward passes, as those of accumulated gradients.
            ctx.numbers = tuple(numbers)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """J^T u."""
        numbers = ctx.saved_tensors if ctx.numbers is None else ctx.numbers
        if any(torch._C._functorch.is_legacy_batchedtensor(u) for u in cotangents):
            raise RuntimeError(
                "several cotangents at once (`is_grads_batched`, `vectorize`) cannot go back to "
                "made weights; give them one by one, or use torch.func's vmap and jacrev"
            )
        if ctx.call.transformed or torch.is_grad_enabled() or transformed(cotangents):
            return (None, None, *Back.apply(ctx.call, *numbers, *cotangents))
        # Nobody asks for a derivative of it.
        return (None, None, *ctx.call.brought_back(numbers, cotangents))

    @staticmethod
    def jvp(ctx: Any, _call: None, _fingerprint: None, *tangents: Tensor | None) -> Any:
        """J t."""
        numbers = ctx.saved_tensors
        return Push.apply(ctx.call, *numbers, *_zeros_for(numbers, tangents))

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: Call, fingerprint: Tensor, *numbers: Tensor) -> Any:
        """One by one; an ensemble's models must share circuit and map."""
        dim = in_dims[1]
        rows = [] if dim is None else list(fingerprint.unbind(dim))
        if any(not torch.equal(row, rows[0]) for row in rows[1:]):
            raise ValueError(
                "the models of an ensemble have different circuits or maps (their seeds?), which "
                "are no part of their state: call them one by one"
            )
        same = fingerprint if dim is None else rows[0]
        rest = (in_dims[0], *in_dims[2:])
        checked = SimpleNamespace(apply=lambda call, *row: Make.apply(call, same, *row))
        return _one_by_one(checked, info, rest, call, *numbers)


class Back(_Function):
    """J^T u: (call, *numbers, *cotangents) -> gradients."""

    @staticmethod
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Evaluate."""
        numbers, cotangents = tensors[: call.count], tensors[call.count :]
        return call.brought_back(numbers, cotangents)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """By the numbers, and by the cotangents: J t."""
        call, tensors = ctx.call, ctx.saved_tensors
        numbers = tensors[: call.count]
        turned = Turn.apply(call, *tensors, *outer)
        pushed = Push.apply(call, *numbers, *outer)
        return (None, *turned, *pushed)

    @staticmethod
    def jvp(ctx: Any, _call: None, *tangents: Tensor | None) -> Any:
        """J^T du, and what the numbers turn of it."""
        call, tensors = ctx.call, ctx.saved_tensors
        numbers = tensors[: call.count]
        moved = _zeros_for(tensors, tangents)
        along = moved[: call.count]
        straight = Back.apply(call, *numbers, *moved[call.count :])
        turned = Turn.apply(call, *tensors, *along)
        return tuple(a + b for a, b in zip(straight, turned, strict=True))


class Push(_Function):
    """J t: (call, *numbers, *tangents) -> buffers."""

    @staticmethod
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Evaluate."""
        parameters = call.parameters(tensors[: call.count])
        tangents = call.parameters(tensors[call.count :])
        return call.layout.pack(call.derivative("jvp")(parameters, tangents))

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """By the numbers, and by the tangents: J^T u."""
        call, tensors = ctx.call, ctx.saved_tensors
        numbers, tangents = tensors[: call.count], tensors[call.count :]
        turned = Turn.apply(call, *numbers, *outer, *tangents)
        return (None, *turned, *Back.apply(call, *numbers, *outer))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:  # noqa: ARG004
        """Refused."""
        raise _too_deep("a forward derivative of a forward derivative")


class Turn(_Function):
    """d(J^T u)/dn t: (call, *numbers, *cotangents, *tangents) -> change of the gradients."""

    @staticmethod
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Evaluate."""
        numbers, tangents = tensors[: call.count], tensors[-call.count :]
        cotangent = call.layout.unpack(tensors[call.count : -call.count])
        if not np.isfinite(cotangent).all():
            return tuple(torch.full_like(number, torch.nan) for number in numbers)
        turn = call.derivative("hvp")
        found = turn(call.parameters(numbers), cotangent, call.parameters(tangents))
        return call.like(found, numbers)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor | None) -> Any:  # noqa: ARG004
        """Refused."""
        raise _too_deep("a third derivative")

    jvp = backward


def _too_deep(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} of made weights is not there: second derivatives are, by backward over backward, "
        "or by jvp and backward"
    )
