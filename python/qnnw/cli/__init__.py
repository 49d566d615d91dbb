"""The command line: ``qnnw train | resume | eval | export | plot | sweep | search | paper | info``.

A command imports what it needs when it is called: ``qnnw plot`` and ``--help`` do without torch.
"""

from __future__ import annotations

from qnnw._common.extras import needs

with needs("train", "The qnnw command"):
    import typer

    # The paper makes its settings, pictures and tables known to those below.
    import qnnw.paper  # noqa: F401
    from qnnw.cli.models import eval_command, export_command, info_command, plot_command
    from qnnw.cli.paper import paper_command
    from qnnw.cli.search import search_command
    from qnnw.cli.sweep import sweep_command
    from qnnw.cli.train import resume_command, train_command

__all__ = ["app"]

app = typer.Typer(
    name="qnnw",
    help="Train classical neural networks through a quantum circuit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    train_command, resume_command, eval_command, export_command, plot_command, sweep_command,
    search_command, paper_command, info_command,
):  # fmt: skip
    app.command(_command.__name__.removesuffix("_command"))(_command)
