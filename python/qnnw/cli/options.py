"""The options of a command, made from the settings as they are declared."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from qnnw.cli.shared import Work
from qnnw.data import registry
from qnnw.paper.presets import in_protocol
from qnnw.training.config import TrainConfig, all_settings
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.presets import preset
from qnnw.training.settings import Setting, settings_of

# An option that was given as `none`, beside one that was not given.
_NONE = object()

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SPEC",
        help="A registered name, a file (.npz, .csv), a folder of images by class, "
        "torchvision:NAME, or my_file.py:make_data.",
    ),
]
Paper = Annotated[
    bool, typer.Option("--paper", help="The paper's protocol instead of what measured best.")
]


def with_settings(
    *without: str, only: Collection[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, which takes ``**settings``, an option for every setting.

    What it gets is what was given, by the settings' names. A parameter ``work`` of the type
    :class:`qnnw.cli.shared.Work` stands for all options that are its fields.

    Parameters
    ----------
    without
        The settings that the command has options of its own for.
    only
        The settings that it takes; ``None``: all.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        given = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        own = [one for p in given for one in (_WORK if p.annotation is Work else [p])]
        names = [name for name in all_settings() if name not in ("dataset", *without)]
        declared = [all_settings()[name] for name in names if only is None or name in only]
        options = [_parameter(setting) for setting in declared]
        if only is None:
            options = [_optimizer(), *options]
        names = [option.name for option in options]

        @functools.wraps(command)
        def called(**values: Any) -> None:
            told = {name: values.pop(name) for name in names}
            settings: dict[str, Any] = {
                n: None if v is _NONE else v for n, v in told.items() if v is not None
            }
            if settings.get("data_dir") is not None:  # as it holds from every folder
                settings["data_dir"] = str(Path(settings["data_dir"]).resolve())
            if own != given:
                settings["work"] = Work(**{p.name: values.pop(p.name) for p in _WORK})
            command(**values, **settings)

        called.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in (*own, *options)}
        return called

    return decorate


_WORK = [*inspect.signature(Work, eval_str=True).parameters.values()]


def dataset_of(name: str | None, data: str | None) -> str | None:
    """The data set, by its position or by ``--data``."""
    if name is not None and data is not None:
        raise ValueError(f"`data` is {data!r} and the dataset {name!r}; give one of them")
    return data if name is None else name


def protocol(
    dataset: str, optimizer: str | None = None, *, paper: bool, **settings: Any
) -> TrainConfig:
    """What measured best, or the paper's protocol, with the settings that were given."""
    return (in_protocol if paper else preset)(dataset, optimizer, **settings)


def _optimizer() -> inspect.Parameter:
    # The first sentences of their docstrings, without references.
    docs = {name: inspect.cleandoc(kind.__doc__ or "") for name, kind in OPTIMIZERS.items()}
    firsts = {name: text.split("\n")[0].split(";")[0].rstrip(".") for name, text in docs.items()}
    told = "; ".join(f"{name}: {first}" for name, first in firsts.items())
    info = typer.Option("--optimizer", metavar="NAME", help=told, show_default="eigen-adam")
    return _option("optimizer", str | None, info)


def _parameter(declared: Setting) -> inspect.Parameter:
    flag = "--" + declared.name.replace("_", "-")
    more: dict[str, Any] = {}
    if declared.kind is bool:
        flag += "/--no-" + declared.name.replace("_", "-")
    elif declared.optional:
        more = {"parser": _or_none(declared), "metavar": f"{_metavar(declared)}|none"}
    elif declared.choices is not None:
        more = {"metavar": _metavar(declared)}
    users = [name for name, kind in OPTIMIZERS.items() if declared.name in settings_of(kind)]
    help = f"{', '.join(users)}: {declared.help}" if users else declared.help
    info = typer.Option(flag, help=help, show_default=_default(declared), **more)
    kind = Any if "parser" in more else declared.kind | None
    return _option(declared.name, kind, info)


def _option(name: str, kind: Any, info: Any) -> inspect.Parameter:
    annotation: Any = Annotated[kind, info]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _metavar(declared: Setting) -> str:
    if declared.choices is not None:
        return "|".join(declared.choices)
    return {int: "INTEGER", float: "FLOAT", str: "TEXT"}[declared.kind]


def _or_none(declared: Setting) -> Callable[[str], Any]:
    """Takes a word to the setting's value, and ``none`` to none."""

    def value(word: str) -> Any:
        if word.lower() == "none":
            return _NONE
        try:
            return declared.kind(word)
        except ValueError:
            raise typer.BadParameter(f"{word!r} is not {declared.wanted}") from None

    return value


def _default(declared: Setting) -> str:
    """The presets' values; a list where they differ."""
    places = {**{name: name for name in registry.names()}, "others": "any.csv"}
    values = {
        name: preset(place).to_dict().get(declared.name, declared.default)
        for name, place in places.items()
    }
    said = {name: "none" if value is None else str(value) for name, value in values.items()}
    if len({repr(value) for value in values.values()}) > 1:
        return ", ".join(f"{name} {word}" for name, word in said.items())
    return next(iter(said.values()))
