"""From a run's folder to a file that others read: safetensors, ONNX, torch.export, or a recipe."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qnnw._common.checks import one_of
from qnnw._common.errors import UserError
from qnnw._common.extras import MissingExtraError, needs
from qnnw._common.files import write_atomically
from qnnw.training.given import Network, about_of
from qnnw.training.legacy import upgraded_checkpoint
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.sources import source_of
from qnnw.training.stored import config_of, given_again, load_model
from qnnw.training.tasks import TASKS
from qnnw.weights.joined import JoinedSource

with needs("train", "qnnw.training.export"):
    import torch
    from torch import nn

    from qnnw.nn import QuantumTrain, pretrained


class ExportError(UserError, RuntimeError):
    """A network cannot be written in a format."""


#: Formats and the ends of their files' names.
FORMATS = {
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
    "pt2": "model.pt2",
    "recipe": "recipe.safetensors",
}


def export_run(
    run: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str] | None = None,
    *,
    network: Network | None = None,
    data: Any = None,
) -> Path:
    """Write a run's network in a format that needs no qnnw.

    Parameters
    ----------
    run
        The run's folder, finished or not: its best weights so far.
    to
        ``"safetensors"``: the plain network's ``state_dict``. ``"onnx"``: an ONNX model with a
        free batch size (needs the extra ``export``). ``"pt2"``: a ``torch.export`` program with a
        free batch size. ``"recipe"``: angles, gamma and the map's seed, a few kB, for
        :func:`qnnw.load_recipe`.
    out
        The file; ``None`` is a file with the format's usual name in the run's folder.
    network, data
        As for :func:`qnnw.training.runs.resume`; data only where the network is made from them.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        The format is unknown.
    qnnw.training.record.RecordError
        The folder is no run, is damaged, or has no model yet.
    qnnw.MissingExtraError
        A package that the format needs is not installed.
    ExportError
        torch cannot trace the network with a free batch size.
    OSError
        The file cannot be written.
    """
    one_of("to", to, FORMATS)
    folder = RunFolder(run)
    path = folder.path / FORMATS[to] if out is None else Path(out)
    if to == "recipe":
        pretrained.save_recipe(model_of(folder.path, network=network, data=data), path)
        return path
    config = config_of(folder)
    given = given_again(folder, config, network, data, needs_data=False)
    plain = load_model(folder, config, given)  # a damaged one is not passed on
    if to == "safetensors":
        if path.resolve() != folder.model_path.resolve():
            write_atomically(path, folder.model_path.read_bytes())
        return path
    about = about_of(folder, config, given)
    dtype = next((p.dtype for p in plain.parameters()), torch.float32)
    example = torch.zeros(2, *about.input_shape, dtype=dtype)
    outputs = TASKS[about.task].outputs
    with _named_failures(type(plain).__name__):
        content = _pt2(plain, example) if to == "pt2" else _onnx(plain, example, outputs)
    write_atomically(path, content)
    return path


def model_of(
    run: str | os.PathLike[str], *, network: Network | None = None, data: Any = None
) -> QuantumTrain:
    """A run's network with its source of weights, as a torch module that trains on.

    Parameters
    ----------
    run
        The run's folder, finished or not.
    network, data
        As for :func:`export_run`.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, is damaged, or has no finished period or epoch.
    """
    folder = RunFolder(run)
    config = config_of(folder)
    checkpoint = folder.read_checkpoint()
    if checkpoint is None:
        raise RecordError(f"{str(folder.path)!r} has no finished period or epoch yet")
    plain = load_model(folder, config, given_again(folder, config, network, data, needs_data=False))
    source, _ = source_of(config, plain)
    # What is no target has its values in the network already.
    main = source.parts[""] if isinstance(source, JoinedSource) else source
    model = QuantumTrain(plain, main)
    sizes = {name: len(group.start) for name, group in main.groups.items()}
    try:
        arrays, state = upgraded_checkpoint(checkpoint[0], checkpoint[1], sizes)
        with torch.no_grad():
            for name, numbers in model.numbers.items():
                numbers.data = torch.from_numpy(arrays[f"best.{name}"].astype(np.float64))
            model.draws.fill_(int(state["draw"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{str(folder.checkpoint_path)!r} is damaged: {error}") from error
    return model


@contextmanager
def _named_failures(name: str) -> Iterator[None]:
    """What torch raises for a network that it cannot trace, in one kind of error."""
    try:
        with warnings.catch_warnings():
            # A network may keep its last activation; the exported program does not.
            warnings.filterwarnings("ignore", "The tensor attribute")
            yield
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:  # tracing runs the user's code
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:300]
        raise ExportError(
            f"`network` ({name}) cannot be exported with a free batch size: {reason}; in its "
            "forward, sizes must come from inputs.shape, not from len(inputs), and no values may "
            "decide what is done"
        ) from error


def _pt2(network: nn.Module, example: torch.Tensor) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},))
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()


def _onnx(network: nn.Module, example: torch.Tensor, outputs: str) -> bytes:
    with needs("export", "ONNX export"):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        network.eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: batch},),
        input_names=["inputs"],
        output_names=[outputs],
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
