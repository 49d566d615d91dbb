"""QuantumTrain: any torch module whose weights a quantum circuit makes."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from qnnw._common.extras import needs
from qnnw._common.seeds import Seed, seed_to_int
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.ansatz import Pairs as _Pairs
from qnnw.weights.generator import WeightGenerator
from qnnw.weights.mapping import WeightMap

with needs("train", "qnnw.nn"):
    import torch
    from torch import Tensor, nn

    from qnnw.nn import operator as _operator
    from qnnw.weights.targets import Target, find_targets, per_weight, scale_of

__all__ = ["QuantumTrain"]


class QuantumTrain(nn.Module):
    """A module whose parameters are made by a circuit; only the circuit's angles and gamma train.

    The M weights of the targets, each flattened in C order and in ``named_parameters()`` order,
    are theta_j = scale_j * t_j(angles, gamma), where t is the map of :class:`qnnw.WeightMap` from
    the 2^N probabilities of :class:`qnnw.EfficientSU2`, N = max(1, ceil(log2 M)). Gradients are
    exact. The module takes what the wrapped one takes and returns what it returns.

    Circuit and map are computed in float64 on the CPU; weights are rounded to each parameter's
    dtype and sent to its device. They are made once per set of angles: forward calls between two
    steps of the optimiser share them.

    Parameters
    ----------
    module
        The network; it is copied, and the copy gives its targets up. Buffers and parameters that
        are not targets stay as they are.
    reps, entanglement
        The circuit.
    gamma
        Initial scale of the map, > 0.
    signs, mapping
        The map. ``"paper"`` is the paper's; ``"centered"`` trains better (docs/results.md).
    scale
        ``"none"``, or ``"fan_in"``: every target is multiplied by sqrt(2 / fan_in); gamma is then
        better near 1.
    seed
        Of the map, of the initial angles and of the shots.
    shots
        ``None``: exact probabilities. Otherwise the circuit is measured this often, afresh in
        every forward call in training mode with gradients; in evaluation mode the last measurement
        stands. The gradient is then the straight-through estimator of
        :func:`qnnw.generate_weights_with_vjp`.
    target_parameters
        Names or patterns (``"classifier.*"``) of the parameters to make; ``None`` is all that
        require a gradient.

    Attributes
    ----------
    angles : nn.Parameter
        Shape (2 N (reps + 1),), radians; float64 if a target is, else float32.
    gamma : nn.Parameter
        One number. The map is even in it.
    module : nn.Module
        The wrapped module without its targets.
    generator : qnnw.weights.circuit.WeightGenerator
        Circuit and map.
    targets : tuple of qnnw.weights.targets.Target
        What the circuit makes.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or a parameter cannot be made by a
        circuit; the message names it.

    Notes
    -----
    Sections II.B to II.D of Liu et al. (2024); ``mapping="centered"`` and ``scale`` are ours.
    """

    angles: nn.Parameter
    gamma: nn.Parameter
    draws: Tensor

    def __init__(
        self,
        module: nn.Module,
        *,
        reps: int = 26,
        entanglement: str | _Pairs = "linear",
        gamma: float = 0.3,
        signs: str = "parity",
        mapping: str = "paper",
        scale: str = "none",
        seed: Seed = 0,
        shots: int | None = None,
        target_parameters: str | Iterable[str] | None = None,
    ) -> None:
        _check_module(module)
        if not 0 < gamma < float("inf"):
            raise ValueError(f"`gamma` is {gamma}; it must be positive and finite")
        targets = find_targets(module, target_parameters)
        number = seed_to_int(seed)
        weight_map = WeightMap(sum(t.numel for t in targets), number, signs, mapping)
        ansatz = EfficientSU2(weight_map.num_qubits, reps, entanglement)
        factors = scale_of(targets, scale)
        generator = WeightGenerator(
            ansatz, weight_map, scale=per_weight(targets, factors), shots=shots, seed=number
        )
        map_source = {"seed": number, "signs": signs, "mapping": mapping}
        self._set_up(module, targets, generator, factors, map_source)
        with torch.no_grad():
            self.angles.copy_(torch.from_numpy(ansatz.random_angles(number)))
            self.gamma.fill_(gamma)

    @classmethod
    def from_parts(
        cls,
        module: nn.Module,
        targets: tuple[Target, ...],
        generator: WeightGenerator,
        factors: list[float],
        map_source: dict[str, Any] | None,
    ) -> QuantumTrain:
        """A model around a given circuit and map, its angles 0 and its gamma 1."""
        model = cls.__new__(cls)
        model._set_up(module, targets, generator, factors, map_source)
        return model

    def _set_up(
        self,
        module: nn.Module,
        targets: tuple[Target, ...],
        generator: WeightGenerator,
        factors: list[float],
        map_source: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        for target in targets:
            for name in target.names:
                owner, own = _owner(self.module, name)
                # The place stays, so that functional_call finds it; a module's own `bias=None`
                # leaves the same.
                owner._parameters[own] = None
        #: Layers that keep their weights in a list of their own besides.
        self._recurrent = tuple(
            name
            for name, layer in self.module.named_modules()
            if isinstance(layer, nn.RNNBase) and None in layer._parameters.values()
        )
        for layer in self._recurrent_layers():
            layer._flat_weights = [None] * len(layer._flat_weights_names)
        self.targets = targets
        self.generator = generator
        #: Where the files can make circuit and map again from; None: from the map's arrays.
        self.map_source = map_source
        self.factors = factors
        double = any(target.dtype == torch.float64 for target in targets)
        dtype = torch.float64 if double else torch.float32
        self.angles = nn.Parameter(torch.zeros(generator.num_angles, dtype=dtype))
        self.gamma = nn.Parameter(torch.ones((), dtype=dtype))
        # Saved with the state: a run that goes on draws the same outcomes.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self.training = module.training
        self._given: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped module with the weights that the circuit makes."""
        if not self._recurrent:
            return torch.func.functional_call(self.module, self.weights(), args, kwargs)
        layers = self._recurrent_layers()
        for layer in layers:
            # nn.LSTM and its kin keep a list of their weights, and renew it where one of these
            # references leads elsewhere.
            layer._flat_weight_refs = [_gone] * len(layer._flat_weights_names)
        try:
            return torch.func.functional_call(self.module, self.weights(), args, kwargs)
        finally:
            for layer in layers:
                layer._flat_weights = [None] * len(layer._flat_weights_names)

    def _recurrent_layers(self) -> list[Any]:
        return [self.module.get_submodule(name) for name in self._recurrent]

    def weights(self) -> dict[str, Tensor]:
        """The targets' weights by name, ready for ``torch.func.functional_call``.

        Every name of a tied parameter is there. They carry the graph back to ``angles`` and
        ``gamma``.
        """
        flat = self._flat() if self._given is None else self._given
        made: dict[str, Tensor] = {}
        parts = torch.split(flat, [target.numel for target in self.targets])
        for target, part in zip(self.targets, parts, strict=True):
            # A copy has a place of its own, aligned as a parameter is: the same bits follow.
            weight = part.to(target.dtype).to(target.device).clone().view(target.shape)
            for name in target.names:
                made[name] = weight
        return made

    def _flat(self) -> Tensor:
        record = torch.is_grad_enabled() and (self.angles.requires_grad or self.gamma.requires_grad)
        if self.generator.shots is not None and self.training and record:
            self.draws.add_(1)
        # The graph keeps the number of its own measurement while later calls count on.
        draw = self.draws.clone().cpu()
        flat: Tensor = _operator.generate_weights(
            self.angles.cpu(), self.gamma.cpu(), draw, self.generator.handle, record
        )
        return flat

    @contextmanager
    def accumulate(self) -> Iterator[None]:
        """Make the weights once for several forward and backward passes inside the ``with`` block.

        The weights' gradients add up, and one way back through the circuit, when the block ends,
        adds to the gradients of ``angles`` and ``gamma``: the sum of what the passes would have
        given one by one. With shots all passes see one measurement. An exception inside leaves
        the gradients of ``angles`` and ``gamma`` as they were.

        Not for a model inside ``DistributedDataParallel``, which waits for every parameter's
        gradient within each backward pass.
        """
        flat = self._flat()
        given = flat.detach().requires_grad_(flat.requires_grad)
        self._given = given
        try:
            yield
        finally:
            self._given = None
        if given.grad is not None:
            flat.backward(given.grad)  # type: ignore[no-untyped-call]

    def print_trainable_parameters(self) -> None:
        """Print how many numbers train, and how many the network has, in PEFT's words."""
        trainable, total = self.num_trainable_parameters, self.num_all_parameters
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || "
            f"trainable%: {100 * trainable / total:.4f}"
        )

    @property
    def num_trainable_parameters(self) -> int:
        """Angles, gamma, and what trains besides."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def num_all_parameters(self) -> int:
        """Parameters of the network: those that the circuit makes and the others."""
        return self.generator.num_weights + sum(p.numel() for p in self.module.parameters())

    @torch.no_grad()
    def merge_and_unload(self) -> nn.Module:
        """A plain copy of the wrapped module with the weights as they are: no circuit left.

        In evaluation mode it gives what this module gives, bit for bit.
        """
        module = copy.deepcopy(self.module)
        made = self.weights()
        for target in self.targets:
            parameter = nn.Parameter(made[target.name].clone(), target.requires_grad)
            for name in target.names:
                owner, own = _owner(module, name)
                setattr(owner, own, parameter)
        for name in self._recurrent:
            module.get_submodule(name)._init_flat_weights()  # type: ignore[operator]
        return module

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write everything to a folder: angles, gamma, circuit, map, and what else has a state.

        See :func:`qnnw.nn.pretrained.save`.
        """
        from qnnw.nn import pretrained

        pretrained.save(self, directory)

    @classmethod
    def from_pretrained(cls, module: nn.Module, directory: str | os.PathLike[str]) -> QuantumTrain:
        """The model that :meth:`save_pretrained` wrote, around a network of the same shape.

        See :func:`qnnw.nn.pretrained.load`.
        """
        from qnnw.nn import pretrained

        return pretrained.load(module, directory)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantumTrain:
        # Angles and gamma go to another device, but keep their precision: in half of it a
        # step of the optimiser would vanish.
        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        super()._apply(moved, recurse=False)  # type: ignore[no-untyped-call]
        if recurse:
            self.module._apply(fn)  # type: ignore[no-untyped-call]
        self.targets = tuple(
            target.like(fn(torch.empty(0, dtype=target.dtype, device=target.device)))
            for target in self.targets
        )
        return self

    def get_extra_state(self) -> Tensor:
        """What tells that a state belongs to this circuit and map."""
        return torch.frombuffer(bytearray(self._fingerprint()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Nothing to set: :meth:`load_state_dict` has checked it before it changed anything."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        found = state_dict.get(prefix + "_extra_state")
        if found is not None and bytes(found.cpu().tolist()) != self._fingerprint():
            raise ValueError(
                "`state_dict` belongs to another circuit or map; make the model with the same "
                "reps, entanglement, signs, mapping, scale, seed and target_parameters"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _fingerprint(self) -> bytes:
        generator = self.generator
        ansatz, weight_map = generator.ansatz, generator.weight_map
        sha = hashlib.sha256(repr((ansatz, weight_map.mapping, self.factors)).encode())
        for array in (weight_map.first, weight_map.second, weight_map.signs):
            sha.update(array.tobytes())
        sha.update(repr([(target.names, target.shape) for target in self.targets]).encode())
        return sha.digest()

    def extra_repr(self) -> str:
        """Circuit and map in a line."""
        ansatz, weight_map = self.generator.ansatz, self.generator.weight_map
        shots = "" if self.generator.shots is None else f", shots={self.generator.shots}"
        return (
            f"{weight_map.num_weights} weights from {ansatz.num_parameters} angles: "
            f"num_qubits={ansatz.num_qubits}, reps={ansatz.reps}, "
            f"entanglement={ansatz.entanglement!r}, mapping={weight_map.mapping!r}{shots}"
        )


def _check_module(module: Any) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"`module` is of type {type(module).__name__}; it must be a torch.nn.Module"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            "`module` is a ScriptModule, whose weights are fixed; pass it before scripting"
        )
    if isinstance(module, QuantumTrain):
        raise TypeError("`module` is a QuantumTrain already; pass the network itself")


def _gone() -> None:
    """A weak reference to nothing."""


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, own = name.rpartition(".")
    return module.get_submodule(path), own
