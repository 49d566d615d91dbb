"""What a network does beside its arithmetic, told by its modules, and the numbers that go into it.

A network that is made of torch's own modules alone, none of which looks at other samples, draws
random numbers or keeps statistics, may be cut: chunks of a batch run side by side, in the memory
layout that is fastest. Any other gets its batches whole, on one thread, as it would in an ordinary
loop: a module of a user's own may do anything in its ``forward``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from qnnw._common.extras import needs

with needs("train", "qnnw.training.behaviour"):
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.dropout import _DropoutNd
    from torch.nn.modules.instancenorm import _InstanceNorm

#: Buffers of a network by name.
Buffers = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Behaviour:
    """What is known of a network.

    Attributes
    ----------
    whole
        Why batches are not cut in training, for a person; ``None``: they may be.
    own
        Whether it has modules that are not torch's own, or hooks.
    batch_statistics
        Whether it normalises by the batch in training: a batch of one sample is none.
    whole_evaluation
        Whether it does so in evaluation too.
    """

    whole: str | None
    own: bool
    batch_statistics: bool
    whole_evaluation: bool

    @classmethod
    def of(cls, network: nn.Module) -> Behaviour:
        """Told by the network's modules."""
        modules = list(network.modules())
        found = {
            reason: [type(module).__name__ for module in modules if has(module)]
            for has, reason in (
                (_mixes, "looks at the whole batch"),
                (_keeps_statistics, "keeps statistics"),
                (_is_random, "draws random numbers"),
                (_is_own, "is not one of torch's own layers"),
            )
        }
        whole = next((f"{names[0]} {reason}" for reason, names in found.items() if names), None)
        mixing, *_, own = found.values()
        norms = [module for module in modules if isinstance(module, _BatchNorm)]
        untracked = any(module.running_mean is None for module in norms)
        return cls(whole, bool(own), bool(norms), untracked or len(mixing) > len(norms))


def named_parameters(network: nn.Module, names: Sequence[str] | None) -> list[nn.Parameter]:
    """The parameters that a flat vector of weights is for, in its order.

    Parameters
    ----------
    network
        The module.
    names
        Their names, any one of a tied parameter's; ``None``: all, in ``named_parameters()`` order.

    Raises
    ------
    ValueError
        A name is unknown, or two name one parameter.
    """
    if names is None:
        return list(network.parameters())
    known = dict(network.named_parameters(remove_duplicate=False))
    for name in names:
        if name not in known:
            listed = ", ".join(map(repr, list(known)[:8]))
            raise ValueError(f"`names` has {name!r}; the network has {listed or 'none'}")
    parameters = [known[name] for name in names]
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ValueError("`names` has two names of one tied parameter; one of them is enough")
    return parameters


def buffers_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the network's buffers, on the CPU."""
    return {name: buffer.detach().cpu().clone() for name, buffer in network.named_buffers()}


def set_buffers(network: nn.Module, buffers: Buffers) -> None:
    """Write buffers into the network.

    Raises
    ------
    KeyError, ValueError
        One is missing or of another shape.
    """
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if buffers[name].shape != buffer.shape:
                raise ValueError(
                    f"the buffer {name!r} has shape {tuple(buffers[name].shape)}; "
                    f"{tuple(buffer.shape)} is needed"
                )
            buffer.copy_(buffers[name])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from this seed; the global generators are left as they were."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _is_own(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    return bool(hooks) or not type(module).__module__.startswith("torch.nn.modules.")


def _mixes(module: nn.Module) -> bool:
    """Whether it sees the batch as a whole: as statistics, or as a sequence."""
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmin):
        return module.dim == 0
    return isinstance(module, _BatchNorm) or getattr(module, "batch_first", True) is False


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, _InstanceNorm) and module.track_running_stats


def _is_random(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd):
        return module.p > 0
    dropout = getattr(module, "dropout", 0.0)  # of recurrent layers and of attention
    return isinstance(module, nn.RReLU) or (isinstance(dropout, float) and dropout > 0)
