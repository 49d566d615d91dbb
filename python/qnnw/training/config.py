"""The settings of a run, each declared once: see :mod:`qnnw.training.settings`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from qnnw._common.checks import instance, one_of
from qnnw.circuit import Ansatz
from qnnw.circuit.blocks import CIRCUITS, DEFAULT, ansatz_of, program_of
from qnnw.circuit.devices import Noise
from qnnw.circuit.devices.backends import check_name
from qnnw.circuit.devices.gradients import GRADIENTS
from qnnw.circuit.devices.readout import MITIGATIONS
from qnnw.data import registry
from qnnw.training.optimizers import OPTIMIZERS, EigenAdam, OptimizerConfig, optimizer_named
from qnnw.training.settings import Setting, checked, setting, settings_of
from qnnw.weights.mapping import MAPPINGS
from qnnw.weights.settings import BEST, LEARNED, PER_TENSOR
from qnnw.weights.trained import HOW

#: Of the settings in a record. 1: release 0.1, see :mod:`qnnw.training.legacy`.
FORMAT = 2
#: Settings that came after the first records of this format, and what they were then.
LATER: dict[str, Any] = {
    "trained": None, "trained_how": "subset", "gammas": "one",
    "gamma_lr": None, "label_smoothing": 0.0, "shift": 0, "mirror": False,
    "chunk": 64, "bond": 4, "map_inputs": "circuit", "circuit": DEFAULT,
    "circuits": None, "dtype": "float64",
    "backend": None, "gradient": "parameter_shift", "fraction": 0.5, "mitigate": None,
    "noise": None, "trajectories": 32,
}  # fmt: skip
#: Settings of how a circuit is measured, which an evaluation may have of its own.
EXECUTION = ("backend", "shots", "mitigate", "noise", "trajectories")
SOURCES = (
    "circuit", "frozen", "haar", "subspace", "hashed", "fastfood", "networks", "mcnc", "direct",
    *LEARNED,
)  # fmt: skip
#: Sources whose numbers are as many as they are: gamma, or all weights of the network.
WHOLE = ("frozen", "haar", "direct")
# Which sources a setting is of.
_OF_MAPS = {
    "chunk": ("qpa", "qpa-relu"), "bond": ("mps",), "map_inputs": LEARNED,
    "circuits": ("circuit",), "dtype": ("circuit",),
}  # fmt: skip
ENTANGLEMENTS = ("linear", "reverse_linear", "circular", "full", "pairwise", "sca", "none")
ACTIVATIONS = ("relu", "tanh", "identity")
LOSSES = ("cross-entropy", "binary", "mse", "mae")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; all but ``threads``, ``device`` and ``data_dir`` decide its numbers.

    The optimiser has settings of its own, those of its class in :mod:`qnnw.training.optimizers`;
    :meth:`changed` takes both by name. ``describe_settings`` in :mod:`qnnw.training.presets` tells
    all of them with their defaults and ranges.
    """

    dataset: str = setting("iris", "A registered name, a file, a folder, or a Python function.")
    optimizer: OptimizerConfig = field(default_factory=EigenAdam)
    circuit: str = setting(
        DEFAULT, f"Its name ({', '.join(CIRCUITS)}), or a file of OpenQASM 3, *.qasm."
    )
    reps: int = setting(26, "Repetitions of the circuit.", least=0)
    entanglement: str = setting("linear", "Of the circuit; none: no CNOTs.", choices=ENTANGLEMENTS)
    circuits: int | None = setting(
        None, "Qubits of each of many circuits, for chunks of the weights; none: one circuit.",
        least=1, most=32,
    )  # fmt: skip
    dtype: str = setting("float64", "Of the circuit.", choices=("float64", "float32"))
    signs: str = setting("parity", "Of the map.", choices=("parity", "random"))
    mapping: str = setting(BEST["mapping"], "The map.", choices=MAPPINGS)
    scale: str = setting(BEST["scale"], "Factor of every tensor.", choices=("none", "fan_in"))
    gamma: float = setting(BEST["gamma"], "Where the map's scale starts.", above=0)
    gammas: str = setting(
        "one",
        "Of the circuit's map: one scale, or one a tensor or chunk.",
        choices=("one", PER_TENSOR),
    )
    source: str = setting(
        "circuit", "What makes the weights: the circuit, a control, or a rival.", choices=SOURCES
    )
    chunk: int = setting(64, "Of qpa and qpa-relu: weights of one basis state.", least=1)
    bond: int = setting(4, "Of mps: the matrix product state's bond dimension.", least=1)
    map_inputs: str = setting(
        "circuit", "Of learned maps: probabilities, or fixed random numbers as their control.",
        choices=("circuit", "random"),
    )  # fmt: skip
    trained: int | None = setting(
        None, "Numbers that train, besides gamma, of all that the source has; none: all.", least=1
    )
    trained_how: str = setting(
        "subset", "Some of them, a random subspace, or numbers in common.", choices=HOW
    )
    shots: int | None = setting(
        None, "Measurements an evaluation or step; none: exact.", least=1, most=2**40
    )
    backend: str | None = setting(
        None, "What measures the circuit: aer, fake_NAME, ibm_NAME; none: it is evolved here."
    )
    gradient: str = setting(
        GRADIENTS[0], "Of a backend: which circuits it is taken from.", choices=GRADIENTS
    )
    fraction: float = setting(0.5, "Of random_half: the angles of a step, of all.", above=0, most=1)
    mitigate: str | None = setting(None, "Correct readout errors.", choices=MITIGATIONS)
    noise: str | None = setting(
        None, "Of the circuit evolved here: fake_NAME, or depolarizing=1e-4:1e-2,damping=0,"
        "readout=0.02; of gates on one and on two qubits.",
    )  # fmt: skip
    trajectories: int = setting(32, "Of a measurement with noise of gates.", least=1)
    activation: str = setting("relu", "Of the built-in networks.", choices=ACTIVATIONS)
    loss: str | None = setting(None, "None: the task's own.", choices=LOSSES)
    seed: int = setting(0, "Seed of every random choice.", least=0, most=2**64 - 1)
    network: str | None = setting(None, "my_file.py:make_network; none: the data set's own.")
    label: str | None = setting(None, "A CSV's column to learn; none: the last.")
    task: str = setting("auto", "What is learned.", choices=registry.TASKS)
    train_samples: int | None = setting(None, "Train on a stratified subset of this size.", least=1)
    validation_samples: int | None = setting(
        None, "Measure on samples held out of the training set, not on the test set.", least=1
    )
    data_dir: str | None = setting(
        None, "Where torchvision's data lie or go; none: $QNNW_DATA, else ~/.cache/qnnw."
    )
    device: str = setting("cpu", "Where the network runs.")
    threads: int | None = setting(None, "Results do not depend on them.", least=1)

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, str):
            object.__setattr__(self, "optimizer", optimizer_named(self.optimizer))
        need = f"one of {', '.join(map(repr, OPTIMIZERS))}, or such an object"
        instance("optimizer", self.optimizer, OptimizerConfig, need)
        checked(self)
        if self.circuit not in (DEFAULT, *CIRCUITS):
            # Its text, so that a record has all that a run is made of.
            object.__setattr__(self, "circuit", program_of(self.circuit))
        if not self.dataset.startswith("<"):
            try:
                registry.kind_of(self.dataset)
            except ValueError as error:
                raise ValueError(str(error).replace("`name`", "`dataset`", 1)) from None
        if self.source in ("frozen", "haar") and self.trained is not None:
            raise ValueError(f"`trained` is {self.trained}; of {self.source!r} gamma alone trains")
        if self.source in ("frozen", "haar") and self.gammas != "one":
            raise ValueError(f"`gammas` is {self.gammas!r}; {self.source!r} has one scale")
        self._check_learned()
        self._check_execution()
        if self.source != "circuit" and self.shots is not None:
            raise ValueError(
                f"`shots` is {self.shots}; weights from {self.source!r} are not measured"
            )

    def _check_execution(self) -> None:
        """What a circuit and what measures it have, and is of use to nothing else."""
        declared = settings_of(type(self))
        if self.backend is not None:
            check_name(self.backend)
            if self.shots is None:
                raise ValueError(f"`shots` is none; {self.backend!r} measures: say how often")
        if self.noise is not None:
            Noise.parsed(self.noise)
        evolved = self.source == "circuit" and self.backend is None
        has_circuit = self.source in ("circuit", "frozen", *LEARNED)
        plain = (self.circuit, self.backend, self.noise) == (DEFAULT, None, None)
        read = self.backend is not None or None not in (self.noise, self.shots)
        of = {
            "circuit": (has_circuit and self.map_inputs == "circuit", "a source with a circuit"),
            "circuits": (plain, "the usual circuit, and neither backend nor noise"),
            "backend": (self.source == "circuit", "the source 'circuit'"),
            "noise": (evolved, "the source 'circuit' without a backend, which has its own"),
            "gradient": (self.backend is not None, "a backend"),
            "fraction": (self.gradient == "random_half", "the gradient 'random_half'"),
            "mitigate": (read, "a backend, or noise with shots"),
            "trajectories": (self.noise is not None, "noise"),
        }
        for name, (fits, need) in of.items():
            value = getattr(self, name)
            if value != declared[name].default and not fits:
                raise ValueError(f"`{name}` is {value!r}; it needs {need}")

    def _check_learned(self) -> None:
        """A learned map stands in the place of the paper's; and has settings of its own."""
        declared = settings_of(type(self))
        for name, sources in _OF_MAPS.items():
            value = getattr(self, name)
            if self.source not in sources and value != declared[name].default:
                known = ", ".join(map(repr, sources))
                raise ValueError(
                    f"`{name}` is {value!r}; it is of {known}, and `source` is {self.source!r}"
                )
        if self.source not in LEARNED:
            return
        for name in ("mapping", "signs", "gamma", "gammas"):
            value, default = getattr(self, name), declared[name].default
            if value != default:
                raise ValueError(
                    f"`{name}` is {value!r}; the map of {self.source!r} is learned and has none: "
                    f"leave it at {default!r}"
                )

    @property
    def pairs(self) -> str | tuple[()]:
        """The circuit's entanglement as :class:`qnnw.EfficientSU2` takes it."""
        return () if self.entanglement == "none" else self.entanglement

    def ansatz(self, num_qubits: int) -> Ansatz:
        """The circuit, on so many qubits."""
        pairs = self.entanglement
        return ansatz_of(self.circuit, num_qubits, reps=self.reps, entanglement=pairs)

    def by(self, optimizer: str) -> TrainConfig:
        """The same by another optimiser, which takes over the settings that it has too."""
        kind = OPTIMIZERS[one_of("optimizer", optimizer, OPTIMIZERS)]
        before, own = self.optimizer.settings, settings_of(kind)
        shared = {name: value for name, value in before.items() if name in own}
        return replace(self, optimizer=kind(**shared))

    def changed(self, **settings: Any) -> TrainConfig:
        """The same with other settings, the optimiser's among them.

        Parameters
        ----------
        settings
            By name. Another ``optimizer`` starts from its own defaults.

        Raises
        ------
        TypeError, ValueError
            A setting is unknown, not this optimiser's, of the wrong kind or out of range.
        """
        own = {part.name for part in fields(self)}
        optimizer = settings.pop("optimizer", self.optimizer)
        if isinstance(optimizer, str):
            same = optimizer == self.optimizer.name
            optimizer = self.optimizer if same else optimizer_named(optimizer)
        others = {name: settings.pop(name) for name in list(settings) if name not in own}
        unknown = [name for name in others if name not in all_settings()]
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no setting; there are {', '.join(all_settings())}")
        if others:
            optimizer = optimizer_named(optimizer.name, {**optimizer.settings, **others})
        return replace(self, optimizer=optimizer, **settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings as flat JSON: ``optimizer`` is its name, its own settings stand beside."""
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        optimizer: OptimizerConfig = own.pop("optimizer")
        return {"format": FORMAT, **own, "optimizer": optimizer.name, **optimizer.settings}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> TrainConfig:
        """What :meth:`to_dict` gave.

        Raises
        ------
        TypeError, ValueError
            It is of another format, or lacks a setting, or has one that is unknown.
        """
        values = dict(stored)
        found = values.pop("format", None)
        if found != FORMAT:
            raise ValueError(f"`format` of the settings is {found!r}; it must be {FORMAT}")
        name = values.pop("optimizer", None)
        if name is None:
            raise ValueError("`optimizer` is missing")
        wanted = settings_of(OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)])
        needed = [*settings_of(cls), *wanted]
        values = {**{name: then for name, then in LATER.items() if name in needed}, **values}
        missing = [setting for setting in needed if setting not in values]
        if missing:
            raise ValueError(f"`{missing[0]}` is missing")
        own = {setting: values.pop(setting) for setting in wanted}
        unknown = [setting for setting in values if setting not in needed]
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no setting of a run by {name!r}")
        return cls(optimizer=optimizer_named(name, own), **values)


def all_settings() -> dict[str, Setting]:
    """Every setting by name, the run's and then those of all optimisers."""
    found = settings_of(TrainConfig)
    for kind in OPTIMIZERS.values():
        for name, declared in settings_of(kind).items():
            found.setdefault(name, declared)
    return found
