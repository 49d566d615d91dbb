"""Maker: the targets' tensors, always those of the present numbers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qnnw.nn import compiled
from qnnw.nn.layout import Layout
from qnnw.nn.made import Densify, places_of
from qnnw.nn.operator import Call, device_of, make, transformed
from qnnw.weights.source import WeightSource
from qnnw.weights.targets import Target


class Made:
    """Targets' tensors, and what tells whether somebody changed them in place.

    Parameters
    ----------
    tensors
        One a target.
    buffers
        Where they lie, if that is to be watched.
    """

    def __init__(self, tensors: list[Tensor], buffers: tuple[Tensor, ...] = ()) -> None:
        self.tensors = tensors
        self._buffers = [buffer.detach() for buffer in buffers]
        self._versions = [buffer._version for buffer in self._buffers]
        self._pointers = [tensor.data_ptr() for tensor in tensors] if buffers else []
        self._sums = self._checksums()

    def without_graph(self) -> Made:
        """The same for who needs no gradients."""
        plain = Made([tensor.detach() for tensor in self.tensors])
        plain._buffers, plain._versions = self._buffers, self._versions
        plain._pointers, plain._sums = self._pointers, self._sums
        return plain

    def changed(self, thoroughly: bool) -> bool:
        """Whether somebody did; ``thoroughly`` sees also what was done to ``.data`` in place."""
        pointers = [tensor.data_ptr() for tensor in self.tensors] if self._pointers else []
        if pointers != self._pointers:
            return True
        if self._versions != [buffer._version for buffer in self._buffers]:
            return True
        return thoroughly and self._sums != self._checksums()

    def _checksums(self) -> list[int]:
        # Whole numbers: no order of adding changes the sum. On a device it would wait for it.
        kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
        return [
            int(buffer.view(kinds[buffer.element_size()]).sum())
            for buffer in self._buffers
            if buffer.device.type == "cpu"
        ]


class _Key(NamedTuple):
    """What tells whether weights are still those of the numbers.

    Attributes
    ----------
    values
        The numbers' bytes, or where an accelerator makes the weights copies of them there.
    host
        The numbers as the source takes them.
    rest
        What else decides.
    """

    values: list[Any]
    host: dict[str, Any] | None
    rest: tuple[Any, ...]


def _same(one: _Key, other: _Key) -> bool:
    if one.rest != other.rest:
        return False
    pairs = zip(one.values, other.values, strict=True)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


class Maker:
    """Makes the targets of a module from the numbers of its owner.

    Tensors are made once for the same numbers and handed out as long as these stay, with the graph
    back to them where gradients are on. What decides is the numbers' values, which also catches
    those that were set behind autograd's back.

    Parameters
    ----------
    owner
        Has the groups' numbers as its parameters, and ``draws`` and ``fingerprint`` as its buffers.
    targets
        In the order of the flat weights.
    base
        The targets' own values, to which what the source makes is added; ``None``: none.

    Attributes
    ----------
    source, names
        What makes the weights, and group to the owner's parameter; they are set by the owner.
    base_digest
        Of ``base``.
    given
        Tensors that stand for what is made, whatever the numbers are.
    """

    source: WeightSource

    def __init__(
        self, owner: Any, targets: tuple[Target, ...], base: Sequence[Tensor] | None = None
    ) -> None:
        self.owner = owner
        self.names: dict[str, str] = {}
        self.layout = Layout(targets)
        self.base_digest = None if base is None else digest(base)
        self._base = None if base is None else [tensor.detach() for tensor in base]
        self._held: tuple[Layout, tuple[Tensor, ...]] | None = None
        #: The layers that the targets were taken from.
        self.layers: list[Any] = []
        #: Rows that are kept, by number of the target.
        self.kept: dict[int, Tensor] = {}
        self._forget()

    def _forget(self) -> None:
        self._made: dict[bool, tuple[Any, Made]] = {}
        self._pins = threading.local()
        self.given: list[Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        gone = ("_made", "_pins", "given", "_held")
        state = {name: value for name, value in self.__dict__.items() if name not in gone}
        if self._base is not None:
            # As views each of them would be written with the whole buffer.
            state["_base"] = [tensor.clone() for tensor in self._base]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._held = None
        self._forget()

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is made."""
        return self.layout.targets

    def read(self, number: int) -> Tensor:
        """One target."""
        return self.tensors()[number]

    def tensors(self) -> list[Tensor]:
        """All targets."""
        if torch.compiler.is_compiling():
            return self.traced()
        pinned: Made | None = getattr(self._pins, "made", None)
        if pinned is not None:
            return pinned.tensors
        return self.made().tensors

    @contextmanager
    def pinned(self) -> Iterator[Made]:
        """What is made now, for this thread's reads inside the block."""
        before = getattr(self._pins, "made", None)
        self._pins.made = made = self.made(anew=True)
        try:
            yield made
        finally:
            self._pins.made = before

    def made(self, anew: bool = False) -> Made:
        """The targets of the present numbers.

        ``anew``: where an accelerator makes them for a step, without asking whether the numbers are
        those of the last time, for which the host would have to wait.
        """
        if self.given is not None:
            return Made(self.given)
        numbers = self._numbers()
        record = torch.is_grad_enabled() and any(number.requires_grad for number in numbers)
        if transformed(numbers):
            return self._anew(numbers, record, True)
        there = device_of(self.source, self.layout, numbers) is not None
        if there and record and anew:
            self._made = {}
            made = self._anew(numbers, record, False)
            self._made = {record: (self._key(numbers, there), made)}
            return made
        key = self._key(numbers, there)
        found = self._made.get(record)
        if found is None and not record and True in self._made:
            # The same values, less the graph.
            kept, graph = self._made[True]
            if _same(kept, key):
                found = self._made[False] = (key, graph.without_graph())
        if found is not None and _same(found[0], key):
            return found[1]
        # What waits for the way back is let go first: two of them would double the peak.
        self._made = {}
        made = self._anew(numbers, record, False, key.host)
        self._made = {record: (key._replace(host=None), made)}
        return made

    def replaced(self) -> int | None:
        """The number of a target in whose place somebody has put a parameter."""
        for layer in self.layers:
            for name, number in places_of(layer).items():
                if layer._parameters[name] is not None:
                    return number
        return None

    def drop(self) -> None:
        """Forget what was made."""
        self._made = {}

    @property
    def keeps(self) -> bool:
        """Whether the targets' own values are kept."""
        return self._base is not None

    @property
    def base(self) -> list[Tensor] | None:
        """The targets' own values, where those are kept."""
        if self._base is not None:
            self._base_buffers()
        return self._base

    def _base_buffers(self) -> tuple[Tensor, ...]:
        """The same in the layout's buffers; they are the one copy."""
        assert self._base is not None
        if self._held is None or self._held[0] is not self.layout:
            buffers = self.layout.hold(self._base)
            self._held = (self.layout, buffers)
            self._base = self.layout.split(buffers)
        return self._held[1]

    def _made_buffers(self, call: Call, numbers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        buffers = make(call, self.owner.fingerprint, numbers)
        if self._base is None:
            return buffers
        return tuple(a + b for a, b in zip(self._base_buffers(), buffers, strict=True))

    def leaves(self) -> tuple[list[Tensor], Callable[[], None]]:
        """The targets as tensors that gather gradients, and what takes these to the numbers."""
        numbers = self._numbers()
        call = Call(self.source, self.layout, tuple(self.names), self._draw(), True, False)
        buffers = self._made_buffers(call, numbers)
        gathering = tuple(
            buffer.detach().requires_grad_(buffer.requires_grad) for buffer in buffers
        )

        def bring_back() -> None:
            pairs = [
                (buffer, leaf.grad)
                for buffer, leaf in zip(buffers, gathering, strict=True)
                if leaf.grad is not None
            ]
            if pairs:
                torch.autograd.backward([b for b, _ in pairs], [g for _, g in pairs])

        return self.split(gathering), bring_back

    def split(self, buffers: tuple[Tensor, ...]) -> list[Tensor]:
        """The targets in these buffers."""
        tensors = self._with_kept_rows(self.layout.split(buffers))
        pairs = zip(tensors, self.targets, strict=True)
        return [Densify.apply(tensor) if target.sparse else tensor for tensor, target in pairs]

    def traced(self) -> list[Tensor]:
        """All targets, in operators that torch.compile and torch.export follow."""
        if self.given is not None:
            return self.given
        flat = torch.cat([number.reshape(-1).double().cpu() for number in self._numbers()])
        draw = self.owner.draws.clone().cpu()
        # The version is a guard: a setting that is changed asks for another graph.
        text = self._described(self.source.version)
        tensors = self.layout.flat_to_targets(compiled.make_weights(flat, draw, text))
        if self._base is not None:
            tensors = [a + b for a, b in zip(self._base, tensors, strict=True)]
        return self._with_kept_rows(tensors)

    def _described(self, version: int) -> str:  # noqa: ARG002
        return compiled.described(self.source)

    # As torch.compiler.assume_constant_result marks it, which imports all of torch's compiler.
    _described._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def moved(self, number: int, fn: Callable[[Tensor], Tensor]) -> None:
        """A target's layer went to another device or dtype."""
        target = self.targets[number]
        moved = target.moved(fn)
        if moved == target:
            return
        targets = list(self.targets)
        targets[number] = moved
        self.layout = Layout(targets)
        for tensors in (self._base, self.given):
            if tensors is not None:
                tensors[number] = fn(tensors[number])
        self.drop()

    def _anew(
        self, numbers: tuple[Tensor, ...], record: bool, transformed: bool, host: Any = None
    ) -> Made:
        call = Call(self.source, self.layout, tuple(self.names), self._draw(), record, transformed)
        call.host = host
        # Tensors of inference mode could not go into a later graph.
        with torch.inference_mode(False), torch.set_grad_enabled(record or transformed):
            buffers = self._made_buffers(call, numbers)
            tensors = self.split(buffers)
        return Made(tensors) if transformed else Made(tensors, buffers)

    def _numbers(self) -> tuple[Tensor, ...]:
        return tuple(self.owner._parameters[name] for name in self.names.values())

    def _draw(self) -> int:
        # Without shots nobody reads it: on a device that would wait.
        return int(self.owner.draws) if self.source.shots is not None else 0

    def _key(self, numbers: tuple[Tensor, ...], there: bool) -> _Key:
        same = [(id(number), number.requires_grad, number.dtype) for number in numbers]
        rest = (same, self._draw(), id(self.source), self.source.version, id(self.layout))
        if there:
            return _Key([number.detach().clone() for number in numbers], None, rest)
        call = Call(self.source, self.layout, tuple(self.names), 0, False, False)
        host = call.parameters(numbers)
        return _Key([values.tobytes() for values in host.values()], host, rest)

    def _with_kept_rows(self, tensors: list[Tensor]) -> list[Tensor]:
        """Embeddings whose padding row is as it was found, and has no gradient."""
        for number, target in enumerate(self.targets):
            if target.padding is not None:
                made, row = tensors[number], self.kept.get(number)
                kept = made.new_zeros(made.shape[1:]) if row is None else row.to(made)
                tensors[number] = made.select_scatter(kept, 0, target.padding)
        return tensors


def digest(tensors: Sequence[Tensor]) -> str:
    """SHA-256 of the tensors' bytes, one after another."""
    sha = hashlib.sha256()
    for tensor in tensors:
        host = tensor.detach().cpu().contiguous().reshape(-1)
        sha.update(host.view(torch.uint8).numpy().data)
    return sha.hexdigest()
