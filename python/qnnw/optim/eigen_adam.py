"""EigenAdam: Adam for a few parameters, in the eigenbasis of their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

from qnnw._common.checks import real
from qnnw._common.devices import one_torch_thread
from qnnw._common.extras import needs

with needs("train", "qnnw.optim.eigen_adam"):
    import torch
    from torch import Tensor

# Steps after which the basis is first found and early refreshed, and those between refreshes.
FIRST, EARLY, EVERY = 10, (10, 20, 30, 40), 50

# Most entries of a parameter: its two matrices take half a GiB in float32.
LARGEST = 8192


class EigenAdam(torch.optim.Optimizer):
    """Adam, done in the eigenbasis of the moving average of g g^T.

    The angles of a circuit act on the loss together, not one by one: their gradients are strongly
    correlated, and Adam's step for each coordinate is far from Newton's. They are few, so the
    whole n x n second moment fits: with C = E[g g^T] = Q diag Q^T, the gradient is turned to
    Q^T g, Adam's second moment and step are taken there, and the step is turned back. This is SOAP
    (Vyas et al. 2024, arXiv:2409.11321) for one vector; a diagonal C gives Adam.

    Parameters of a group are one vector each, from 2 to 8192 entries: a step costs O(n^2), every 50
    steps O(n^3), and two n x n matrices wait in memory. One entry gets plain Adam. Moments have the
    parameter's dtype, at least float32; everything runs on one thread, so that steps do not depend
    on their number.

    Parameters
    ----------
    params
        Parameters or groups, as for every torch optimiser.
    lr
        Learning rate: the length of a step in every eigendirection, about.
    betas
        Decay of the first moment, and of the second one in the eigenbasis.
    basis_decay
        Decay of C, from which the basis is found.
    eps
        Added to the root of the second moment.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong kind or out of range; a parameter is complex, or has more entries
        than ``LARGEST``: ``torch.optim.Adam`` is for those.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.03,
        betas: tuple[float, float] = (0.9, 0.999),
        basis_decay: float = 0.99,
        eps: float = 1e-10,
    ) -> None:
        decays = tuple(real("betas", decay, least=0, below=1) for decay in betas)
        defaults = {
            "lr": real("lr", lr, least=0),
            "betas": decays,
            "basis_decay": real("basis_decay", basis_decay, least=0, below=1),
            "eps": real("eps", eps, least=0),
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; see :meth:`torch.optim.Optimizer.add_param_group`.

        Raises
        ------
        TypeError, ValueError
            A parameter is complex, or has more entries than ``LARGEST``.
        """
        # Past the wrapper that imports torch's compiler, which takes as long as torch itself.
        unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)
        try:
            for place, parameter in enumerate(self.param_groups[-1]["params"]):
                _check(f"parameter {place} of group {len(self.param_groups) - 1}", parameter)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; moments keep at least float32, where torch would take the parameter's."""
        super().load_state_dict(state_dict)
        names = [name for group in state_dict["param_groups"] for name in group["params"]]
        parameters = [one for group in self.param_groups for one in group["params"]]
        for name, parameter in zip(names, parameters, strict=True):
            for key, value in state_dict["state"].get(name, {}).items():
                if key != "step":
                    dtype = torch.promote_types(parameter.dtype, torch.float32)
                    moved = value.to(parameter.device, dtype, copy=True)
                    self.state[parameter][key] = moved

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; see :meth:`torch.optim.Optimizer.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with one_torch_thread():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.is_sparse:
            raise RuntimeError("EigenAdam does not support sparse gradients; make them dense")
        dtype = torch.promote_types(parameter.dtype, torch.float32)
        flat = gradient.detach().reshape(-1).to(dtype)
        state = self.state[parameter]
        if not state:
            state |= _fresh(flat)
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = group["betas"]
        state["exp_avg"].lerp_(flat, 1 - beta1)
        first = state["exp_avg"]
        if flat.numel() > 1:
            decay = group["basis_decay"]
            state["second_moment"].mul_(decay).addr_(flat, flat, alpha=1 - decay)
            if step in EARLY or step % EVERY == 0:
                _refresh(state, step)
            basis = state["basis"]
            flat, first = basis.T @ flat, basis.T @ first
        state["exp_avg_sq"].mul_(beta2).addcmul_(flat, flat, value=1 - beta2)
        root = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        move = first / (1 - beta1**step) / root
        if flat.numel() > 1:
            move = state["basis"] @ move
        parameter.sub_((group["lr"] * move).reshape(parameter.shape).to(parameter))


def _check(name: str, parameter: Tensor) -> None:
    """Refuse what no matrix of moments can be held for."""
    if parameter.is_complex():
        raise TypeError(f"`params`: {name} is complex; EigenAdam takes real parameters")
    if parameter.numel() > LARGEST:
        raise ValueError(
            f"`params`: {name} has {parameter.numel()} entries; EigenAdam holds n x n numbers for "
            f"each and takes at most {LARGEST}; use torch.optim.Adam for it"
        )


def _fresh(flat: Tensor) -> dict[str, Tensor]:
    state = {
        "step": torch.zeros((), dtype=torch.int64),
        "exp_avg": torch.zeros_like(flat),
        "exp_avg_sq": torch.zeros_like(flat),
    }
    if flat.numel() > 1:
        size = flat.numel()
        state["second_moment"] = flat.new_zeros(size, size)
        state["basis"] = torch.eye(size, dtype=flat.dtype, device=flat.device)
    return state


def _refresh(state: dict[str, Tensor], step: int) -> None:
    """Find the eigenbasis: whole at first, then by one step of orthogonal iteration."""
    moment, before = state["second_moment"], state["basis"]
    if not torch.isfinite(moment).all():
        # NaN and infinity travel on to the parameters, as in torch's Adam; no basis has them.
        return
    if step == FIRST:
        basis = torch.linalg.eigh(moment).eigenvectors
    else:
        # The moment's rank is that of the steps it remembers; outside, the old directions stay.
        floor = 1e-6 * float(moment.trace()) / len(moment) + 1e-300
        basis = torch.linalg.qr(moment @ before + floor * before).Q
    # In one layout always: a state that was saved and read back gives the same bits.
    state["basis"] = basis.contiguous()
