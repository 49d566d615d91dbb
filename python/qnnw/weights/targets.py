"""Targets: the parameters of a module that a source makes, in the order of the flat weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs

with needs("train", "qnnw.nn"):
    import torch
    from torch import nn

SCALES = ("none", "fan_in")


@dataclass(frozen=True)
class Target:
    """One parameter that a source makes.

    Attributes
    ----------
    names
        Its name in ``named_parameters()``, and after it the other names of a tied parameter.
    shape, dtype, device, requires_grad
        Those of the parameter that it replaces.
    fan_in
        Inputs of the unit that it belongs to; see :func:`scale_of`.
    padding, kept
        An embedding's padding row, which stays as it is; its weights are made, and not used. Its
        values, where they are not all 0.
    sparse
        Whether its layer gives sparse gradients.
    channels_last
        Whether its values lie with the second axis innermost.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool
    fan_in: int
    padding: int | None = None
    kept: torch.Tensor | None = field(default=None, compare=False)
    sparse: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Its first name."""
        return self.names[0]

    @property
    def numel(self) -> int:
        """Number of its weights."""
        return math.prod(self.shape)

    def moved(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> Target:
        """The target where ``fn`` takes its parameter: another dtype, device or memory format."""
        probe = fn(torch.empty(0, dtype=self.dtype, device=self.device))
        # One value more than a line makes the formats differ.
        shaped = fn(torch.empty((2,) * len(self.shape), dtype=self.dtype, device=self.device))
        last = self.channels_last if shaped.is_contiguous() else lies_channels_last(shaped)
        return replace(self, dtype=probe.dtype, device=probe.device, channels_last=last)

    def describe(self) -> dict[str, Any]:
        """What a file says of it."""
        dtype = str(self.dtype).removeprefix("torch.")
        told = {"names": list(self.names), "shape": list(self.shape), "dtype": dtype}
        return told if self.padding is None else {**told, "padding": self.padding}


def find_targets(module: nn.Module, patterns: str | Iterable[str] | None) -> tuple[Target, ...]:
    """The parameters of ``module`` that a source is to make, in ``named_parameters()`` order.

    Parameters
    ----------
    module
        The module.
    patterns
        Names, or patterns of the shell's kind (``"layers.*.weight"``); ``None`` is every parameter
        that requires a gradient, but the scales of normalisation layers: these multiply, and made
        weights start about 0 with random signs.

    Raises
    ------
    TypeError, ValueError
        A pattern fits no parameter, nothing is left to make, or a parameter cannot be made; the
        message names it.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    aliases: dict[str, list[str]] = {}
    for name, parameter in parameters.items():
        aliases.setdefault(first.setdefault(id(parameter), name), []).append(name)
    if patterns is not None:
        chosen = matching(aliases, patterns, "target_parameters")
    else:
        trained = [name for name in aliases if parameters[name].requires_grad]
        chosen = [name for name in trained if not _is_scale(module, name)]
    if not chosen:
        raise ValueError(
            "`module` has no parameter for the circuit to make: none requires a gradient but the "
            "scales of normalisation layers, if there are any; name some with `target_parameters`"
        )
    return tuple(_target(module, tuple(aliases[name]), parameters[name]) for name in chosen)


def scale_of(targets: Sequence[Target], scale: str) -> list[float]:
    """One factor per target: 1, or for ``"fan_in"`` the square root of 2 / fan_in.

    Weights that feed a unit of ``fan_in`` inputs then leave the size of its output independent of
    their number (He et al. 2015, eq. 10, whose factor this is); a bias takes its layer's factor.
    With it gamma is near 1, not near 0.3.
    """
    if scale not in SCALES:
        known = ", ".join(map(repr, SCALES))
        raise ValueError(f"`scale` is {scale!r}; it must be one of {known}")
    if scale == "none":
        return [1.0] * len(targets)
    return [math.sqrt(2.0 / target.fan_in) for target in targets]


def per_weight(targets: Sequence[Target], factors: Sequence[float]) -> NDArray[np.float64] | None:
    """The targets' factors, one per weight; ``None`` where all are 1."""
    if all(factor == 1.0 for factor in factors):
        return None
    return np.repeat(np.asarray(factors), [target.numel for target in targets])


def matching(
    names: Mapping[str, Sequence[str]] | Sequence[str],
    patterns: str | Iterable[str],
    argument: str,
) -> list[str]:
    """The names that a pattern fits, by any of their aliases where they have such.

    Raises
    ------
    ValueError
        A pattern fits none; the message names it and the argument.
    """
    aliases = names if isinstance(names, Mapping) else {name: [name] for name in names}
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    fits = {
        name: {p for p in wanted if any(fnmatchcase(alias, p) for alias in known)}
        for name, known in aliases.items()
    }
    unused = [p for p in wanted if not any(p in found for found in fits.values())]
    if unused:
        known = ", ".join(list(aliases)[:8]) + (", …" if len(aliases) > 8 else "")
        raise ValueError(
            f"`{argument}` has {unused[0]!r}, which fits no parameter of the module; it has "
            f"{known or 'none'}"
        )
    return [name for name, found in fits.items() if found]


def _target(module: nn.Module, names: tuple[str, ...], parameter: nn.Parameter) -> Target:
    name = names[0]
    if nn.parameter.is_lazy(parameter):
        raise ValueError(
            f"`module` has the lazy parameter {name!r} without a shape; run it once before"
        )
    if not parameter.is_floating_point() or parameter.layout != torch.strided:
        kind = f"{parameter.dtype}, {parameter.layout}"
        raise ValueError(
            f"`module` has the parameter {name!r} of {kind}; the circuit makes dense real "
            "floating-point numbers: leave it out with `target_parameters`"
        )
    if parameter.device.type == "meta":
        raise ValueError(f"`module` has the parameter {name!r} on the meta device; it has no place")
    if parameter.numel() == 0:
        raise ValueError(
            f"`module` has the empty parameter {name!r}: leave it out with `target_parameters`"
        )
    owner = _owner(module, name)
    if isinstance(owner, torch.jit.ScriptModule):
        raise TypeError(
            f"`module` has the parameter {name!r} in a scripted or traced part, whose weights are "
            "fixed: wrap it before scripting, or leave it out with `target_parameters`"
        )
    if getattr(owner, "max_norm", None) is not None:
        raise ValueError(
            f"`module` has the parameter {name!r} of an embedding with max_norm, which changes its "
            "weight in every call: leave it out with `target_parameters`"
        )
    padding = owner.padding_idx if isinstance(owner, nn.Embedding | nn.EmbeddingBag) else None
    kept = None if padding is None else parameter.detach()[padding].clone()
    return Target(
        names,
        tuple(parameter.shape),
        parameter.dtype,
        parameter.device,
        parameter.requires_grad,
        _fan_in(module, name, parameter),
        padding,
        kept if kept is not None and bool(kept.any()) else None,
        bool(getattr(owner, "sparse", False)),
        lies_channels_last(parameter),
    )


def lies_channels_last(tensor: torch.Tensor) -> bool:
    """Whether a kernel lies with its channels innermost, and not the usual way too."""
    if tensor.dim() not in (4, 5) or tensor.is_contiguous():
        return False
    kind = torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d
    return tensor.is_contiguous(memory_format=kind)


def _owner(module: nn.Module, name: str) -> nn.Module:
    """The layer that a parameter belongs to; of a parametrised weight, the layer itself."""
    path = name.rpartition(".")[0]
    head, parametrized, _ = path.rpartition("parametrizations.")
    return module.get_submodule(head.removesuffix(".") if parametrized else path)


_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def _is_scale(module: nn.Module, name: str) -> bool:
    """Whether it is what a normalisation layer multiplies by."""
    layer = _owner(module, name)
    # Other libraries' own (LlamaRMSNorm, T5LayerNorm) go by their names.
    normalises = isinstance(layer, _NORMS) or re.search(r"Norm(\dd)?$", type(layer).__name__)
    return bool(normalises) and name.rpartition(".")[2] in ("weight", "scale", "gamma", "g")


def _fan_in(module: nn.Module, name: str, parameter: nn.Parameter) -> int:
    """Inputs of a unit: of a matrix or kernel its own, of a vector that of its layer's weight."""
    layer = _owner(module, name)
    if parameter.dim() >= 2:
        return _inputs_of(layer, parameter)
    # nn.LSTM and its kin call them weight_ih_l0 and bias_ih_l0.
    weight = getattr(layer, name.rpartition(".")[2].replace("bias", "weight"), None)
    if isinstance(weight, torch.Tensor) and weight.dim() >= 2:
        return _inputs_of(layer, weight)
    return 1


def _inputs_of(layer: nn.Module, weight: torch.Tensor) -> int:
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        # Its kernels lie (in, out / groups, …), and of a kernel's places one in a stride meets.
        inputs = weight.shape[0] // layer.groups * math.prod(weight.shape[2:])
        return max(1, inputs // math.prod(layer.stride))
    if type(layer).__name__ == "Conv1D" and weight.dim() == 2:
        return max(1, weight.shape[0])  # transformers' linear layer, whose weight lies (in, out)
    return max(1, weight[0].numel())
