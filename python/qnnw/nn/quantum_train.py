"""QuantumTrain: any torch module whose weights a source makes, by default a quantum circuit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

from qnnw._common.checks import flag, one_of
from qnnw._common.extras import needs
from qnnw._common.seeds import Seed
from qnnw.circuit import Circuit
from qnnw.circuit.ansatz import Pairs as _Pairs
from qnnw.weights.settings import PAPER
from qnnw.weights.source import WeightSource
from qnnw.weights.trained import HOW, TrainedSource

with needs("train", "qnnw.nn"):
    import inspect

    import torch
    from torch import Tensor, nn

    from qnnw.nn import stored, wrapping
    from qnnw.nn.copying import copied
    from qnnw.nn.maker import Maker
    from qnnw.weights.targets import Target, find_targets

__all__ = ["QuantumTrain"]

MakeSource = Callable[[int], WeightSource]


class QuantumTrain(nn.Module):
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
    circuit
        ``None``: :class:`qnnw.EfficientSU2`. Or a :class:`qnnw.Circuit`, a function that makes one
        for a number of qubits, a name (``"real_amplitudes"``, ``"u3_cu3"``, …), or a file of
        OpenQASM 3: :func:`qnnw.circuit.blocks.ansatz_of`.
    reps, entanglement
        Of a circuit that is made by name; 26 and ``"linear"``.
    gamma
        Initial scale of the map, > 0; 1.2. ``"per_tensor"``: every target has a scale of its own,
        which starts there; they are counted.
    signs, mapping
        The map, see :class:`qnnw.WeightMap`; ``"parity"`` and ``"centered"``, which trains better
        than the paper's (docs/results.md). :meth:`paper` has the paper's.
    scale
        ``"fan_in"``: every target is multiplied by sqrt(2 / fan_in). Or ``"none"``.
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

    _maker: Maker
    draws: Tensor
    fingerprint: Tensor

    def __init__(
        self,
        module: nn.Module,
        source: WeightSource | MakeSource | None = None,
        *,
        circuit: str | Circuit | Callable[[int], Circuit] | None = None,
        reps: int | None = None,
        entanglement: str | _Pairs | None = None,
        gamma: float | str | None = None,
        signs: str | None = None,
        mapping: str | None = None,
        scale: str | None = None,
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
        given = {
            "circuit": circuit,
            "reps": reps, "entanglement": entanglement, "gamma": gamma, "signs": signs,
            "mapping": mapping, "scale": scale, "seed": seed, "shots": shots, "dtype": dtype,
        }  # fmt: skip
        settings = {name: value for name, value in given.items() if value is not None}
        if source is not None and settings:
            raise ValueError(
                f"`{next(iter(settings))}` is for the circuit that is made without `source`; give "
                "one of them"
            )
        if copy is not None:
            copy = flag("copy", copy)
        targets = find_targets(module, target_parameters)
        if source is None:
            source = wrapping.circuit_source(targets, **settings)
        elif not isinstance(source, WeightSource):
            source = source(sum(target.numel for target in targets))
        if trained is not None:
            source = TrainedSource(source, trained, trained_how, getattr(source, "seed", 0))
        elif one_of("trained_how", trained_how, HOW) != HOW[0]:
            raise ValueError(f"`trained_how` is {trained_how!r}, but `trained` is None: all train")
        self._set_up(wrapping.prepared(module, targets, trainable, copy), targets, source)

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
        cls, module: nn.Module, targets: tuple[Target, ...], source: WeightSource
    ) -> QuantumTrain:
        """A model of these targets of the module, and this source."""
        model = cls.__new__(cls)
        model._set_up(module, targets, source)
        return model

    def _set_up(self, module: nn.Module, targets: tuple[Target, ...], source: WeightSource) -> None:
        wrapping.check_source(source, targets)
        super().__init__()
        self.module = module
        names = wrapping.parameter_names(self, source)
        double = any(target.dtype == torch.float64 for target in targets)
        dtype = torch.float64 if double else torch.float32
        for group, start in source.groups.items():
            values = torch.from_numpy(start.start.copy()).to(dtype)
            self.register_parameter(names[group], nn.Parameter(values))
        # Saved with the state: a run that goes on draws the same outcomes.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        mark = torch.frombuffer(bytearray(wrapping.fingerprint(source, targets)), dtype=torch.uint8)
        # Among the buffers, an ensemble of other circuits is known; the state has it besides.
        self.register_buffer("fingerprint", mark, persistent=False)
        self.__dict__["_maker"] = Maker(self, source, targets, names)
        wrapping.install_targets(module, targets, self._maker)
        self.training = module.training
        self._sign()

    def _sign(self) -> None:
        """Give this model's ``forward`` the wrapped one's signature."""
        plain = type(self).forward
        function = FunctionType(
            plain.__code__, plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__
        )
        function.__kwdefaults__, function.__doc__ = plain.__kwdefaults__, plain.__doc__
        try:
            signature = inspect.signature(self.module.forward)
        except (TypeError, ValueError):
            return
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        parameters = [this, *signature.parameters.values()]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        self.__dict__["forward"] = MethodType(function, self)

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
    def source(self) -> WeightSource:
        """What makes the weights."""
        return self._maker.source

    @property
    def generator(self) -> WeightSource:
        """The last release's name of :attr:`source`."""
        return self._maker.source

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is made."""
        return self._maker.targets

    @property
    def numbers(self) -> dict[str, nn.Parameter]:
        """What the source trains: its groups' numbers by name."""
        return {
            group: self._parameters[name]  # type: ignore[misc]
            for group, name in self._maker.names.items()
        }

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
        self._maker.given, bring_back = self._maker.leaves()
        try:
            yield
        finally:
            self._maker.given = None
        bring_back()

    def print_trainable_parameters(self) -> None:
        """Print how many numbers train, and how many the network has, in PEFT's words."""
        trainable, total = self.num_trainable_parameters, self.num_all_parameters
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || "
            f"trainable%: {100 * trainable / total:.4f}"
        )

    @property
    def num_trainable_parameters(self) -> int:
        """The source's numbers, and what trains besides."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def num_all_parameters(self) -> int:
        """Parameters of the network: those that are made and the others."""
        return self.source.num_weights + sum(p.numel() for p in self.module.parameters())

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

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "forward"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._sign()

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantumTrain:
        model = type(self).__new__(type(self))
        memo[id(self)] = model
        state = {name: copied(value, memo) for name, value in self.__getstate__().items()}
        model.__setstate__(state)
        return model

    def extra_repr(self) -> str:
        """The source, and what it makes."""
        names = [target.name for target in self.targets]
        listed = ", ".join(names[:6]) + (f", … ({len(names)})" if len(names) > 6 else "")
        return f"{self.source!r}\nmade: {listed}"
