"""What all commands share: options, exit statuses, and errors in a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from qnnw._common.allocator import keep_freed_memory
from qnnw._common.errors import UserError
from qnnw._common.runtime import set_num_threads
from qnnw._common.signals import INTERRUPTED, stop_asked, stoppable

FAILED = 1
MISUSED = 2


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]
Threads = Annotated[int | None, typer.Option(help="Threads; results do not depend on them.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where MNIST/raw and FashionMNIST/raw lie or are downloaded to; else $QNNW_DATA, "
        "else ~/.cache/qnnw."
    ),
]
Device = Annotated[str | None, typer.Option(help="Where the network runs: cpu or cuda.")]
EngineName = Annotated[str, typer.Option(help="local: processes here; ray: a Ray cluster.")]


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the runs of a sweep are done: options of every command that does such."""

    workers: Annotated[
        int | None, typer.Option(help="Runs side by side; default: one a core, on Ray one a CPU.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="Threads of a run; default: its share of the cores.")
    ] = None
    engine: EngineName = "local"
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster's; auto: this machine's; default: a new one."),
    ] = None
    retries: Annotated[
        int,
        typer.Option(help="How often a run whose process died is tried again without progress."),
    ] = 3
    as_json: Json = False
    quiet: Quiet = False


def prepare_process(threads: int | None) -> None:
    """Settle the allocator and the threads of this process."""
    keep_freed_memory()
    if threads is not None:
        set_num_threads(threads)


@contextmanager
def errors(remedy: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turn what a user can mend into one line and an exit status; nothing else is caught.

    ``remedy`` says how an interrupted command goes on.
    """
    with stoppable():
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            # An interrupted import may end in any exception.
            if isinstance(error, KeyboardInterrupt) or stop_asked():
                how = remedy()
                print("interrupted" if how is None else f"interrupted; {how}", file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None
            if not isinstance(error, UserError | MemoryError | OSError | ValueError | TypeError):
                raise
            print(f"error: {str(error) or type(error).__name__}", file=sys.stderr)
            misused = isinstance(error, ValueError | TypeError) and not isinstance(error, UserError)
            raise typer.Exit(MISUSED if misused else FAILED) from error
