"""Adapters of Hugging Face's PEFT whose matrices a circuit makes (quantum parameter adaptation).

    model = qnnw.peft.get_peft_model(model, QuantumLoraConfig(r=8, target_modules=["query"]))

PEFT injects its own layers; their trainable parameters become targets of a
:class:`qnnw.nn.QuantumTrain` with ``base="keep"``: where PEFT starts B at 0, it is 0 at the start.
``merge_and_unload()`` gives PEFT's own model back, which saves, merges and serves as PEFT's do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qnnw._common.checks import instance
from qnnw._common.documents import plain_bytes, strictly
from qnnw._common.extras import needs
from qnnw._common.files import write_atomically
from qnnw._common.seeds import seed_to_int
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.nn.quantum_train import QuantumTrain
from qnnw.nn.sources import Circuits, Scale
from qnnw.nn.tensorfile import ModelFileError
from qnnw.weights.learned import LearnedSource, qubits_needed
from qnnw.weights.learned_maps import named_map
from qnnw.weights.settings import LEARNED
from qnnw.weights.source import WeightSource

with needs("ecosystem", "qnnw.peft"):
    import peft
    import torch
    from torch import nn

CONFIG = "adapter_config.json"
# Of PEFT's config what says nothing of the adapter.
_LEFT_OUT = ("auto_mapping", "base_model_name_or_path", "runtime_config")
#: Length of a change of LoRA's B, whose own values, all 0, tell none.
B_SCALE = 0.02


@dataclass(kw_only=True)
class QuantumPeftConfig:
    """Any adapter of PEFT (prompts, bottlenecks, LoRA and its kin), made by a circuit.

    Attributes
    ----------
    adapter
        PEFT's own config. What it trains is made, but for ``modules_to_save``, which train besides.
    source
        As of :class:`qnnw.nn.QuantumTrain`, or the name of a learned map: ``"affine"``, ``"mlp"``,
        ``"qpa"``, ``"qpa-relu"`` or ``"mps"``, on a circuit of ``reps`` repetitions.
    chunk
        Weights of one basis state, of ``"qpa"`` and ``"qpa-relu"``.
    circuits, reps, gamma, mapping, scale, trained, trained_how, dtype
        As of :class:`qnnw.nn.QuantumTrain`.
    seed
        Of the circuit, and of what PEFT draws.
    """

    adapter: Any = None
    source: WeightSource | Callable[[int], WeightSource] | str | None = None
    chunk: int = 64
    circuits: Circuits | int | str | Sequence[str] | None = None
    reps: int | None = None
    gamma: float | None = None
    mapping: str | None = None
    scale: Scale | None = None
    trained: int | None = None
    trained_how: str = "subset"
    dtype: str | None = None
    seed: int = 0

    def peft_config(self) -> Any:
        """PEFT's config."""
        instance("adapter", self.adapter, peft.PeftConfig, "a config of PEFT")
        return self.adapter


@dataclass(kw_only=True)
class QuantumLoraConfig(QuantumPeftConfig):
    """PEFT's LoRA, its matrices A and B made by a circuit.

    Attributes
    ----------
    r, target_modules, lora_alpha, lora_dropout, use_rslora, modules_to_save, task_type
        As of ``peft.LoraConfig``.
    """

    r: int = 8
    target_modules: Sequence[str] | str | None = None
    lora_alpha: int = 8
    lora_dropout: float = 0.0
    use_rslora: bool = False
    modules_to_save: Sequence[str] | None = None
    task_type: str | None = None

    def peft_config(self) -> Any:
        """PEFT's config."""
        own = {field.name for field in fields(QuantumPeftConfig)}
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}
        return peft.LoraConfig(**given)


class QuantumPeftModel(QuantumTrain):
    """PEFT's model, its adapter made by a source; ``peft_config`` is PEFT's.

    ``save_pretrained`` writes the numbers, and beside them PEFT's config and the seed.
    """

    def save_pretrained(
        self, directory: str | os.PathLike[str], *, include_frozen: bool = False
    ) -> None:
        """Write the adapter: see :func:`qnnw.nn.stored.save`."""
        super().save_pretrained(directory, include_frozen=include_frozen)
        module: Any = self.module
        # As JSON takes it, without what this machine says of it.
        config = module.peft_config["default"].to_dict().items()
        plain = {name: v for name, v in config if v is not None and name not in _LEFT_OUT}
        told = {"seed": self.__dict__["_seed"], "peft": plain}
        text = json.dumps(told, indent=2, default=sorted) + "\n"
        write_atomically(Path(directory) / CONFIG, text.encode())

    @classmethod
    def from_pretrained(
        cls, module: nn.Module, directory: str | os.PathLike[str], *, copy: bool | None = None
    ) -> QuantumPeftModel:
        """The model that :meth:`save_pretrained` wrote, around the network that it adapts.

        Parameters
        ----------
        module
            The network, which PEFT's layers are put into.
        directory
            The folder.
        copy
            As of :class:`qnnw.nn.QuantumTrain`; PEFT's layers are put into the module itself.

        Raises
        ------
        ModelFileError
            The folder is missing or damaged, or its adapter is another network's.
        """
        path = Path(directory) / CONFIG
        try:
            told = strictly(plain_bytes(path, ModelFileError))
            from_type: Any = peft.PeftConfig.from_peft_type
            config, seed = from_type(**told["peft"]), int(told["seed"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise ModelFileError(f"{str(path)!r} is no adapter's config: {error}") from error
        model: Any = super().from_pretrained(_injected(module, config, seed), directory, copy=copy)
        model.__dict__["_seed"] = seed
        return model  # type: ignore[no-any-return]


def get_peft_model(model: nn.Module, config: QuantumPeftConfig) -> QuantumPeftModel:
    """Put PEFT's adapter into a network, and let a circuit make it.

    Parameters
    ----------
    model
        The network; as PEFT does, it is changed: its layers are replaced, its weights frozen.
    config
        What is adapted, and what makes it.

    Raises
    ------
    TypeError, ValueError
        The config is none, or PEFT or :class:`qnnw.nn.QuantumTrain` refuse it.
    """
    need = "a QuantumLoraConfig, or a QuantumPeftConfig around a config of PEFT"
    instance("config", config, QuantumPeftConfig, need)
    seed = int(seed_to_int(config.seed))
    injected = _injected(model, config.peft_config(), seed)
    names = [name for name, p in injected.named_parameters() if p.requires_grad]
    besides = [name for name in names if "modules_to_save" in name]
    targets = [name for name in names if name not in besides]
    scale = config.scale
    if scale is None and config.source is None:
        fits_b = any(".lora_B." in name for name in targets)
        scale = {"*": "spread"} | ({"*.lora_B.*": B_SCALE} if fits_b else {})
    named = isinstance(config.source, str)
    circuit = {
        name: None if named and name == "reps" else getattr(config, name)
        for name in ("circuits", "reps", "gamma", "mapping", "dtype")
    }
    made = QuantumPeftModel(
        injected,
        _source(config, seed),
        base="keep",
        scale=scale,
        seed=seed if config.source is None else None,
        trained=config.trained,
        trained_how=config.trained_how,
        target_parameters=targets,
        trainable=besides,
        copy=False,
        **circuit,
    )
    made.__dict__["_seed"] = seed
    return made


def _source(config: QuantumPeftConfig, seed: int) -> Any:
    """A learned map by its name; else as it is given."""
    if not isinstance(config.source, str):
        return config.source
    if config.source not in LEARNED:
        known = ", ".join(map(repr, LEARNED))
        raise ValueError(f"`source` is {config.source!r}; by name there are {known}")
    learned = named_map(config.source, chunk=config.chunk, bond=4, published=True)
    reps = 3 if config.reps is None else config.reps

    def make(size: int) -> WeightSource:
        ansatz = EfficientSU2(qubits_needed(size, learned), reps)
        return LearnedSource(size, learned, ansatz, seed=seed)

    return make


def _injected(model: nn.Module, config: Any, seed: int) -> Any:
    """PEFT's model; what it draws is drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        return peft.get_peft_model(model, config)
