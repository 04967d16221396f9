"""`hardmail behaviours`: the documented hardening behaviours one by one."""

from __future__ import annotations

import sys

import click


@click.group(invoke_without_command=True)
@click.pass_context
def behaviours(ctx: click.Context) -> None:
    """List, show and run the documented hardening behaviours one by one.

    \b
    Example:
      hardmail behaviours show smarthost-tls
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_behaviours)


@behaviours.command("list")
def list_behaviours() -> None:
    """One line for each behaviour: slug, source, title."""
    from lab.behaviours import catalogue

    for behaviour in catalogue():
        click.echo(f"{behaviour.slug:<24} {behaviour.source:<16} {behaviour.title}")


@behaviours.command("show")
@click.argument("slug")
def show_behaviour(slug: str) -> None:
    """What is attacked, how the configuration stops it and where it stands, what a client sees, the weakened twin."""
    from lab.behaviours import find
    from lab.behaviours.command import described
    from lab.errors import UsageError

    try:
        click.echo(described(find(slug)))
    except KeyError:
        raise UsageError(f"no behaviour is called {slug}; `hardmail behaviours list` shows them all") from None


@behaviours.command("run")
@click.argument("slugs", nargs=-1)
@click.option("--twin", "twins", is_flag=True, help="Run the weakened twins too: each has to show the hole.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, with the whole dialogues.")
@click.option("-v", "--verbose", is_flag=True, help="Show what crossed the wire, not only where something failed.")
def run_behaviours(slugs: tuple[str, ...], twins: bool, as_json: bool, verbose: bool) -> None:
    """Run behaviours (default: all) over real sockets; exit status 1 if one does not work.

    \b
    Example:
      hardmail behaviours run --twin smarthost-tls no-smuggling
    """
    from lab.behaviours import command

    sys.exit(command.run_command(slugs, twins=twins, as_json=as_json, verbose=verbose))
