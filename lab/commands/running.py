"""Subcommands that start, show and end labs: run, up, status, reload, stop."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.options import CONFDIR, DIRECTORY, which


@click.command()
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
    from lab import run as module

    module.run(confdirs, ready_fd)


@click.command()
@click.option("--profile", "profile_name", default="hardened", show_default=True, help="Which ready-made lab.")
@click.option("--dir", "directory", type=DIRECTORY, help="Keep the lab here; the same directory starts it again.")
@click.option("--json", "as_json", is_flag=True, help="Print endpoints and users as one line of JSON once it is ready.")
@click.option("-d", "--detach", is_flag=True, help="Return once it is ready; end it with `hardmail stop`.")
@click.option("--instance", "instances", multiple=True, metavar="NAME", help="Start only this one; may be repeated.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FILE:LINES",
    help="Append LINES to a file of the lab, such as mailhost/main.cf; may be repeated.",
)
@click.option("--clock", "simulated_clock", is_flag=True, help="Let `hardmail clock` move the time of its queues.")
@click.option("--keep", is_flag=True, help="Do not remove the temporary directory at the end.")
@click.option("--ready-fd", type=int, metavar="N", help="Write a line to this descriptor once everything accepts.")
def up(
    profile_name: str,
    directory: Path | None,
    as_json: bool,
    detach: bool,
    instances: tuple[str, ...],
    changes: tuple[str, ...],
    simulated_clock: bool,
    keep: bool,
    ready_fd: int | None,
) -> None:
    """Bring up a ready-made lab on free loopback ports: null client, mail host, outside world, DNS.

    Stays in the foreground until Ctrl-C; a temporary lab is removed at the end. Every lab has its own certificate
    authority and its own random passwords.

    \b
    Examples:
      hardmail up
      hardmail up --dir ./lab --detach && hardmail status && hardmail stop
      hardmail up --json --set 'mailhost/main.cf:smtpd_tls_auth_only = no'
    """
    from lab import up as module

    for change in changes:
        if ":" not in change:
            raise click.BadParameter(f"{change!r} is not FILE:LINES", param_hint="--set")
    if simulated_clock:
        changes += tuple(module.clock_changes(profile_name))
    module.up(
        profile_name,
        directory,
        instances=instances,
        changes=[(file, lines) for file, _, lines in (change.partition(":") for change in changes)],
        as_json=as_json,
        detach=detach,
        keep=keep,
        ready_fd=ready_fd,
    )


@click.command()
@which
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(directory: Path | None, confdir: Path | None, as_json: bool) -> None:
    """Show what runs: services, processes, listeners. Exit status 69 if nothing does.

    \b
    Example:
      hardmail status --json
    """
    import json
    import time
    from dataclasses import asdict

    from lab.supervisor import state

    states = [state.find(directory, confdir)] if directory or confdir else state.running()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in states]))
    for entry in [] if as_json else states:
        age = int(time.time() - entry.started)
        where = entry.directory or ", ".join(entry.confdirs)
        click.echo(f"hardmail {entry.command} {where}: process {entry.pid}, running for {age} s")
        for service in entry.services:
            nobody = "not needed yet" if service.get("on_demand") else "down"
            pids = " ".join(map(str, service["pids"])) or nobody
            click.echo(f"  {service['name']:<28} {pids:<16} {', '.join(service['listeners'])}")
    if not states:
        from lab.errors import NotRunning

        raise NotRunning("nothing runs; start it with: hardmail up")


@click.command()
@which
def reload(directory: Path | None, confdir: Path | None) -> None:
    """Have the configuration read anew; no connection is dropped. Errors are in the log, the old one then stays.

    \b
    Example:
      hardmail reload -c /etc/postfix
    """
    import signal

    from lab.supervisor import state

    entry = state.find(directory, confdir)
    state.tell(entry, signal.SIGHUP)
    click.echo(f"hardmail: process {entry.pid} reloads")


@click.command()
@which
def stop(directory: Path | None, confdir: Path | None) -> None:
    """Stop a lab or a `hardmail run`, and wait until everything has ended.

    \b
    Example:
      hardmail stop --dir ./lab
    """
    from lab.supervisor import state

    entry = state.find(directory, confdir)
    state.stop(entry)
    click.echo(f"hardmail: process {entry.pid} has stopped")
