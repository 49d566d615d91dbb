"""QuantumTrain: any torch module whose weights a source makes, by default a quantum circuit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qnnw._common.checks import flag, one_of
from qnnw._common.seeds import Seed
from qnnw.circuit import Circuit
from qnnw.circuit.ansatz import Pairs as _Pairs
from qnnw.nn import stored, wrapping
from qnnw.nn.adapters import Adapters
from qnnw.nn.copying import copied
from qnnw.nn.maker import Maker
from qnnw.nn.signed import signed
from qnnw.nn.sources import Circuits, Scale, source_for
from qnnw.weights.settings import PAPER
from qnnw.weights.source import WeightSource
from qnnw.weights.targets import Target, find_targets

MakeSource = Callable[[int], WeightSource]


class QuantumTrain(Adapters):
    """A module whose parameters are made by a source: only the source's few numbers train.

    The M weights of the targets, each flattened in C order and in ``named_parameters()`` order,
    come from a :class:`qnnw.weights.source.WeightSource`. Unless another is given it is the
    paper's: theta_j = scale_j * t_j(angles, gamma), where t is the map of :class:`qnnw.WeightMap`
    from the 2^N probabilities of :class:`qnnw.EfficientSU2`, N = max(1, ceil(log2 M)).

    The wrapped module stays what it is: ``model.module[0].weight`` can be read at any time and is
    the made tensor of the present numbers; methods other than ``forward``, hooks, activation
    checkpoints, ``torch.func`` and other threads see the same. The wrapper has its ``forward``'s
    signature and passes its attributes on. Weights are made once for the same numbers, sent to
    each dtype and device among the targets in one copy, and are views there.

    Gradients are exact, second derivatives and forward ones too (two evolutions an angle; the first
    take two and a half for all angles together). With shots they are the straight-through
    estimator of :func:`qnnw.generate_weights_with_vjp`.

    Parameters
    ----------
    module
        The network.
    source
        Makes the weights, or takes their number to what does; ``None``: a circuit by the arguments
        from ``circuit`` to ``dtype``, which belong to it alone.
    circuits
        ``None``: one circuit makes all weights. An integer n: equal chunks of at most 2^n weights
        have a circuit each; ``"tensor"``: every target has; or patterns of the modules that have:
        see :class:`qnnw.nn.Circuits`, which also has circuits share their angles.
    base
        ``None``: the weights are made anew. ``"keep"``: the module's own values stay, and what the
        source makes is their change: w = w0 + s (t(numbers) - t(numbers at the start)), which at
        the start is w0, bit for bit. Other parameters are frozen unless ``trainable`` names them;
        what is saved is the adapter alone; see :class:`qnnw.nn.adapters.Adapters`.
    circuit
        ``None``: :class:`qnnw.EfficientSU2`. Or a :class:`qnnw.Circuit`, a function that makes one
        for a number of qubits, a name (``"real_amplitudes"``, ``"u3_cu3"``, …), or a file of
        OpenQASM 3: :func:`qnnw.circuit.blocks.ansatz_of`.
    reps, entanglement
        Of circuits that are made by name; 26, or 4 of each of many ``circuits``, and ``"linear"``.
    gamma
        Initial scale of the map, > 0; 1.2. ``"per_tensor"``: every target has a scale of its own,
        which starts there; they are counted.
    signs, mapping
        The map, see :class:`qnnw.WeightMap`; ``"parity"`` and ``"centered"``, which trains better
        than the paper's (docs/results.md). :meth:`paper` has the paper's.
    scale
        Factor of every target. ``"fan_in"``: sqrt(2 / fan_in). ``"spread"``, with ``base="keep"``
        and its default: the standard deviation of the target's own values (of a constant: as
        ``"fan_in"``). ``"none"``: 1. A number; or any of these by pattern, the rest being 1.
    seed
        Of the map, of the initial angles and of the shots; 0.
    shots
        ``None``: exact probabilities. Otherwise the circuit is measured this often, afresh in
        every call in training mode with gradients; in evaluation mode the last measurement stands.
    dtype
        Precision of the circuit: ``"float64"`` or ``"float32"``.
    trained, trained_how
        ``None``: all of the source's numbers train. Otherwise so many, besides gamma, whatever its
        depth: ``"subset"`` (the default), ``"projected"`` or ``"tied"``; see
        :class:`qnnw.weights.trained.TrainedSource`, which draws the choice from the seed.
    target_parameters
        Names or patterns (``"classifier.*"``) of the parameters to make; ``None`` is all that
        require a gradient, but the scales of normalisation layers.
    trainable
        Names or patterns of other parameters that train besides, the rest being frozen; ``None``
        leaves all of them as they are.
    copy
        ``None``: the module is left as it is; what is wrapped has its frozen parameters in common
        with it, and copies of what may change. ``True``: everything is copied. ``False``: nothing
        is, and the module itself is wrapped.

    Attributes
    ----------
    angles, gamma : nn.Parameter
        A circuit's numbers, shapes (num_parameters,) and (1,); another source has its own groups,
        and so has ``trained``.
        float64 if a target is, else float32.
    module : nn.Module
        The wrapped module.
    source : qnnw.weights.source.WeightSource
        What makes the weights.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or a parameter cannot be made; the message
        names it.

    Notes
    -----
    Sections II.B to II.D of Liu et al. (2024); ``mapping="centered"`` and ``scale`` are ours.
    """

    def __init__(
        self,
        module: nn.Module,
        source: WeightSource | MakeSource | None = None,
        *,
        circuits: Circuits | int | str | Sequence[str] | None = None,
        base: str | None = None,
        circuit: str | Circuit | Callable[[int], Circuit] | None = None,
        reps: int | None = None,
        entanglement: str | _Pairs | None = None,
        gamma: float | str | None = None,
        signs: str | None = None,
        mapping: str | None = None,
        scale: Scale | None = None,
        seed: Seed | None = None,
        shots: int | None = None,
        dtype: str | torch.dtype | None = None,
        trained: int | None = None,
        trained_how: str = "subset",
        target_parameters: str | Iterable[str] | None = None,
        trainable: str | Iterable[str] | None = None,
        copy: bool | None = None,
    ) -> None:
        wrapping.check_module(module)
        if copy is not None:
            copy = flag("copy", copy)
        if base is not None:
            one_of("base", base, ("keep",))
            trainable = () if trainable is None else trainable
        targets = find_targets(module, target_parameters)
        kept = None if base is None else wrapping.values_of(module, targets)
        source = source_for(
            targets, source, kept, trained, trained_how,
            circuits=circuits, circuit=circuit, reps=reps, entanglement=entanglement, gamma=gamma,
            signs=signs, mapping=mapping, scale=scale, seed=seed, shots=shots, dtype=dtype,
        )  # fmt: skip
        module = wrapping.prepared(module, targets, trainable, copy)
        self._set_up(module, targets, source, kept)

    @classmethod
    def paper(cls, module: nn.Module, **changed: Any) -> QuantumTrain:
        """A model with the paper's map: ``mapping="paper"``, ``scale="none"``, ``gamma=0.3``.

        Parameters
        ----------
        module
            The network.
        changed
            Other arguments of the class.
        """
        return cls(module, **{**PAPER, **changed})

    @classmethod
    def from_parts(
        cls,
        module: nn.Module,
        targets: tuple[Target, ...],
        source: WeightSource,
        base: list[Tensor] | None = None,
    ) -> QuantumTrain:
        """A model of these targets of the module, and this source; ``base``: values to change."""
        model = cls.__new__(cls)
        model._set_up(module, targets, source, base)
        return model

    def _set_up(
        self,
        module: nn.Module,
        targets: tuple[Target, ...],
        source: WeightSource,
        base: list[Tensor] | None,
    ) -> None:
        wrapping.check_source(source, targets)
        super().__init__()
        self.module = module
        # Saved with the state: a run that goes on draws the same outcomes.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self._maker = Maker(self, targets, base)
        self._take(wrapping.numbers_of(source, targets), source)
        wrapping.install_targets(module, targets, self._maker)
        self.training = module.training
        self._start_adapters()
        self.__class__ = signed(type(self), module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped module with the weights that its source makes."""
        self._draw_anew()
        if torch.compiler.is_compiling():
            return torch.func.functional_call(self.module, self.weights(), args, kwargs)
        with self._maker.pinned() as made:
            result = self.module(*args, **kwargs)
        wrapping.check_untouched(self._maker, made)
        return result

    def _draw_anew(self) -> None:
        measured = self.source.shots is not None and self.training and torch.is_grad_enabled()
        if self._maker.given is not None:  # several passes over one measurement
            return
        if measured and any(number.requires_grad for number in self.numbers.values()):
            self.draws.add_(1)

    @property
    def generator(self) -> WeightSource:
        """The last release's name of :attr:`source`."""
        return self._maker.source

    def weights(self) -> dict[str, Tensor]:
        """The targets' weights by name, ready for ``torch.func.functional_call``.

        Every name of a tied parameter is there. They carry the graph back to the numbers.
        """
        return {
            name: tensor
            for target, tensor in zip(self.targets, self._maker.tensors(), strict=True)
            for name in target.names
        }

    @contextmanager
    def accumulate(self) -> Iterator[None]:
        """Make the weights once for several forward and backward passes inside the ``with`` block.

        The weights' gradients add up, and one way back through the source, when the block ends,
        adds to the gradients of its numbers: the sum of what the passes would have given one by
        one. With shots all passes see one measurement. An exception inside leaves the numbers'
        gradients as they were.

        Not for a model inside ``DistributedDataParallel``, which waits for every parameter's
        gradient within each backward pass.
        """
        self._draw_anew()
        before = self._maker.given
        self._maker.given, bring_back = self._maker.leaves()
        try:
            yield
        finally:
            self._maker.given = before
        bring_back()

    @torch.no_grad()
    def merge_and_unload(self) -> nn.Module:
        """A plain copy of the wrapped module with the weights as they are: no source left.

        In evaluation mode it gives what this module gives, bit for bit on the CPU.
        """
        return wrapping.merged(self.module, self._maker)

    def save_pretrained(
        self, directory: str | os.PathLike[str], *, include_frozen: bool = False
    ) -> None:
        """Write the numbers, seeds and settings to a folder, and what else trains or has a state.

        See :func:`qnnw.nn.stored.save`.
        """
        stored.save(self, directory, include_frozen=include_frozen)

    @classmethod
    def from_pretrained(
        cls,
        module: nn.Module,
        directory: str | os.PathLike[str],
        *,
        copy: bool | None = None,
    ) -> QuantumTrain:
        """The model that :meth:`save_pretrained` wrote, around a network of the same shape.

        See :func:`qnnw.nn.stored.load`.
        """
        model: QuantumTrain = stored.load(cls.from_parts, module, directory, copy=copy)
        return model

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantumTrain:
        # The numbers go to another device, but keep their precision: in half of it a step of the
        # optimiser would vanish.
        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        super()._apply(moved, recurse=False)  # type: ignore[no-untyped-call]
        if recurse:
            self.module._apply(fn)  # type: ignore[no-untyped-call]
        self._maker.drop()
        return self

    def get_extra_state(self) -> Tensor:
        """What tells that a state belongs to this source and these targets."""
        return self.fingerprint.clone()

    def set_extra_state(self, state: Any) -> None:
        """Nothing to set: :meth:`load_state_dict` has checked it before it changed anything."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        wrapping.check_state(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module" or name.startswith("_"):
                raise
            return getattr(super().__getattr__("module"), name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.__class__ = signed(type(self), self.module)

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantumTrain:
        model = type(self).__new__(type(self))
        memo[id(self)] = model
        state = {name: copied(value, memo) for name, value in self.__dict__.items()}
        model.__setstate__(state)
        return model

    def extra_repr(self) -> str:
        """The source, and what it makes."""
        names = [target.name for target in self.targets]
        listed = ", ".join(names[:6]) + (f", … ({len(names)})" if len(names) > 6 else "")
        return f"{self.source!r}\nmade: {listed}"
