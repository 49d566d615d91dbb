"""Adapters: several changes of one pretrained network, of which one is at work at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qnnw._common.checks import instance
from qnnw.nn import stored, wrapping
from qnnw.nn.counts import Counts
from qnnw.nn.sources import source_for
from qnnw.weights.source import WeightSource

FIRST = "default"


@dataclass
class Adapter:
    """What belongs to one name.

    Attributes
    ----------
    source, numbers
        What makes the changes, and its trained numbers by group.
    others
        Values of what else trains, and of buffers, while the adapter is not at work.
    """

    source: WeightSource
    numbers: dict[str, nn.Parameter]
    others: dict[str, Tensor] = field(default_factory=dict)


class Adapters(Counts):
    """The methods of :class:`qnnw.nn.QuantumTrain` about adapters, in PEFT's words.

    With ``base="keep"`` a model is a network that stays and an adapter: a source's numbers, the
    parameters that train besides, and the buffers. The one that the model starts with is called
    ``"default"``. ``parameters()`` and ``state_dict()`` have those of the active one.
    """

    draws: Tensor
    fingerprint: Tensor

    def _start_adapters(self) -> None:
        self.active_adapter = FIRST
        self.__dict__["_adapters"] = {FIRST: Adapter(self.source, self.numbers)}
        # Of a network that is kept, what training may change besides.
        self.__dict__["_base_others"] = self._others() if self._maker.keeps else {}

    def _take(self, numbers: dict[str, nn.Parameter], source: WeightSource) -> None:
        """Train these numbers, of this source."""
        for name in self._maker.names.values():
            del self._parameters[name]
        # Group to the name of its parameter.
        names = {group: group.replace(".", "_") for group in source.groups}
        for name in names.values():
            if hasattr(type(self), name) or name in ("module", "draws", "fingerprint"):
                raise ValueError(f"`source` has a group {name!r}; it needs another name")
        for group, number in numbers.items():
            self.register_parameter(names[group], number)
        mark = wrapping.fingerprint(source, self._maker.targets, self._maker.base_digest)
        # Among the buffers, an ensemble of other circuits is known; the state has it besides.
        tensor = torch.frombuffer(bytearray(mark), dtype=torch.uint8)
        self.register_buffer("fingerprint", tensor.to(self.draws.device), persistent=False)
        self._maker.source, self._maker.names = source, names
        self._maker.drop()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters."""
        return tuple(self.__dict__["_adapters"])

    def add_adapter(self, name: str, source: Any = None, **settings: Any) -> None:
        """A further adapter on the same network; :meth:`set_adapter` puts it to work.

        What trains besides starts in it from the network's own values.

        Parameters
        ----------
        name
            None of those there are.
        source, settings
            As of :class:`qnnw.nn.QuantumTrain`: a source, or a circuit's arguments, ``circuits``,
            ``trained`` and ``trained_how``.

        Raises
        ------
        TypeError, ValueError
            The name is taken, the model does not keep its network (``base="keep"``), or an argument
            is wrong.
        """
        self._check_new(name)
        made = source_for(self.targets, source, self._maker.base, **settings)
        wrapping.check_source(made, self.targets)
        others = {key: tensor.clone() for key, tensor in self.__dict__["_base_others"].items()}
        numbers = wrapping.numbers_of(made, self.targets)
        self.__dict__["_adapters"][name] = Adapter(made, numbers, others)

    def load_adapter(self, directory: str | os.PathLike[str], name: str) -> None:
        """Read a further adapter that :meth:`save_pretrained` wrote.

        Raises
        ------
        ModelFileError
            The folder is missing or damaged, or its adapter was trained on another network: the
            message has both fingerprints.
        ValueError
            As for :meth:`add_adapter`.
        """
        self._check_new(name)
        with self.disable_adapter():
            source, numbers, others = stored.load_adapter(self, directory)
        base = self.__dict__["_base_others"]
        own = {key: others.get(key, tensor).clone() for key, tensor in base.items()}
        self.__dict__["_adapters"][name] = Adapter(source, numbers, own)

    def set_adapter(self, name: str) -> None:
        """Put this adapter to work, with what it trains besides; the one before waits as it is.

        An optimiser made from ``parameters()`` has the numbers of the adapter that was active then.

        Raises
        ------
        ValueError
            There is none of this name.
        """
        known = self.__dict__["_adapters"]
        if name not in known:
            raise ValueError(f"`name` is {name!r}; there are {', '.join(map(repr, known))}")
        self.unmerge_adapter()
        if name == self.active_adapter:
            return
        known[self.active_adapter].others = self._others()
        wanted = known[name]
        for number in wanted.numbers.values():
            number.data = number.data.to(self.draws.device)
        self._take(wanted.numbers, wanted.source)
        self._put(wanted.others)
        self.active_adapter = name

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The network as it was found, in this ``with`` block: no adapter is at work.

        Raises
        ------
        ValueError
            The model does not keep its network.
        """
        self._check_kept()
        before, others = self._maker.given, self._others()
        self._maker.given = self._maker.base
        self._put(self.__dict__["_base_others"])
        try:
            yield
        finally:
            self._maker.given = before
            self._put(others)

    @torch.no_grad()
    def merge_adapter(self) -> None:
        """Fix the weights as they are: reading them asks no numbers, and none of these trains.

        :meth:`unmerge_adapter` takes it back, bit for bit.
        """
        self._maker.given = [tensor.detach().clone() for tensor in self._maker.made().tensors]

    def unmerge_adapter(self) -> None:
        """Let the weights follow the numbers again; nothing where they do."""
        self._maker.given = None

    def _check_kept(self) -> None:
        if not self._maker.keeps:
            raise ValueError(
                "the model makes its weights anew and keeps no network: wrap it with base='keep'"
            )

    def _check_new(self, name: str) -> None:
        instance("name", name, str, "a string")
        if name in self.__dict__["_adapters"]:
            raise ValueError(f"`name` is {name!r}, which is an adapter already; take another")
        self._check_kept()

    def _changing(self) -> dict[str, Tensor]:
        """What an adapter changes besides the targets: what else trains, and buffers."""
        found = {n: p.data for n, p in self.module.named_parameters() if p.requires_grad}
        return {**found, **{n: b for n, b in self.module.named_buffers() if b is not None}}

    def _others(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._changing().items()}

    @torch.no_grad()
    def _put(self, others: dict[str, Tensor]) -> None:
        for name, tensor in self._changing().items():
            if name in others:
                tensor.copy_(others[name])
