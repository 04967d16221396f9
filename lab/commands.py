"""The subcommands of `hardmail`; each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path

import click

from lab import __version__
from lab.tools import TOOLS

DIRECTORY = click.Path(path_type=Path, file_okay=False)
CONFDIR = click.Path(path_type=Path, file_okay=False, exists=True)


class Commands(click.Group):
    """Lists the tools with their known names under the subcommands."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of tools, after the list of commands."""
        with formatter.section("Tools under their known names (also when called through a link of that name)"):
            formatter.write_dl([(name, tool.summary) for name, tool in TOOLS.items()])
        super().format_epilog(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition: the main job first."""
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def hardmail() -> None:
    """A reference mail stack in pure Python that demonstrates documented hardening behaviours.

    \b
    Examples:
      hardmail demo                  start everything, send real mail, show each behaviour
      hardmail up                    a mail host to work against, until Ctrl-C
      hardmail run -c /etc/postfix   run your own main.cf, master.cf, dovecot.conf
    """


@hardmail.command()
@click.option(
    "-c",
    "confdirs",
    type=CONFDIR,
    multiple=True,
    required=True,
    metavar="CONFDIR",
    help="Directory with main.cf and master.cf, and/or dovecot.conf; may be given several times.",
)
@click.option("--ready-fd", type=int, metavar="N", help="Write a line to this descriptor once everything accepts.")
def run(confdirs: tuple[Path, ...], ready_fd: int | None) -> None:
    """Run a configuration in the foreground until SIGTERM or Ctrl-C; SIGHUP reloads it.

    \b
    Example:
      hardmail run -c /etc/postfix -c /etc/dovecot
    """
    from lab import plan, runner

    names = [""] if len(confdirs) == 1 else [confdir.absolute().name for confdir in confdirs]
    runner.run(
        lambda: plan.load_all(list(zip(confdirs, names, strict=True))),
        command="run",
        ready_fd=ready_fd,
    )
