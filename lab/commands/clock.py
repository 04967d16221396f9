"""`hardmail clock`: the time of a lab's queues."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.options import which


@click.group()
def clock() -> None:
    """Move the time of a lab's queues ahead: back-off, delay warnings and expiry without the wait.

    Only for instances that were started for it: hardmail up --clock, or hardmail_simulated_clock = yes.

    \b
    Example:
      hardmail up --clock --detach && hardmail clock advance 4h
    """


@clock.command("advance")
@click.argument("time", metavar="TIME")
@which
def advance_clock(time: str, directory: Path | None, confdir: Path | None) -> None:
    """Let TIME (90s, 5m, 4h, 6d, 1w) pass, each queue run at its time; return when the last has ended."""
    from lab import clock as module
    from lab.supervisor import state

    found = module.instances(state.find(directory, confdir).confdirs)
    runs = module.advance(found, module.duration(time))
    click.echo(f"hardmail: {module.shown(found[0])}; {runs} queue run{'' if runs == 1 else 's'} with deferred mail")


@clock.command("show")
@which
def show_clock(directory: Path | None, confdir: Path | None) -> None:
    """Show what time it is for the lab's queues."""
    from lab import clock as module
    from lab.supervisor import state

    click.echo(f"hardmail: {module.shown(module.instances(state.find(directory, confdir).confdirs)[0])}")
