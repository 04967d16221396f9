"""The subcommands of `hardmail`, a module for each family; each imports what it needs when it is called.

So `--help` is quick: these modules themselves import nothing but click.
"""

from __future__ import annotations

import click

from lab import __version__
from lab.commands import audit, behaviours, checking, clock, exercises, importing, running, watching
from lab.tools import TOOLS

# One line for each, in the order in which they are listed.
COMMANDS: tuple[click.Command, ...] = (
    running.run,
    running.up,
    running.status,
    running.reload,
    running.stop,
    watching.watch,
    clock.clock,
    checking.check,
    importing.import_,
    checking.test,
    checking.demo,
    behaviours.behaviours,
    exercises.lab,
    audit.audit,
)


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


for command in COMMANDS:
    hardmail.add_command(command)
