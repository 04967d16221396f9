"""The subcommands of `hardmail`; each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    from lab import plan
    from lab.supervisor import runner

    names = [confdir.absolute().name for confdir in confdirs]
    if len(names) == 1:
        names = [""]
    elif len(set(names)) < len(names):  # /a/conf and /b/conf
        names = [str(confdir.absolute()) for confdir in confdirs]
    runner.run(
        lambda: plan.load_all(list(zip(confdirs, names, strict=True))),
        command="run",
        ready_fd=ready_fd,
    )


@hardmail.command()
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


WHICH = [
    click.option("--dir", "directory", type=DIRECTORY, help="The lab in this directory (default: the youngest)."),
    click.option("-c", "confdir", type=DIRECTORY, metavar="CONFDIR", help="The one that runs this configuration."),
]


def which(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that choose a running supervisor."""
    for option in reversed(WHICH):
        command = option(command)
    return command


@hardmail.command()
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


@hardmail.command()
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


@hardmail.command()
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


@hardmail.group()
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
def check(confdirs: tuple[Path, ...]) -> None:
    """Check a configuration: all its errors and warnings, file and line. Exit status 78 if it cannot run.

    \b
    Example:
      hardmail check -c /etc/postfix
    """
    from lab import check as module

    findings = module.check(confdirs)
    for finding in findings:
        click.echo(str(finding))
    sys.exit(module.status(findings))


@hardmail.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the test suite, quick tests first; arguments go to pytest (its own help: hardmail test -- --help).

    \b
    Example:
      hardmail test -k smuggling
    """
    from lab import selftest

    sys.exit(selftest.run(list(arguments)))


@hardmail.command()
@click.option("--only", multiple=True, metavar="SLUG", help="Show only this behaviour; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, with the whole dialogues.")
@click.option("--keep", is_flag=True, help="Leave the configuration, logs and mail of the stacks in place.")
def demo(only: tuple[str, ...], as_json: bool, keep: bool) -> None:
    """Bring the whole stack up, send real mail through it, and show each behaviour on the wire.

    \b
    Example:
      hardmail demo --only no-open-relay
    """
    from lab import demo as module

    sys.exit(module.demo(only, as_json=as_json, keep=keep))


@hardmail.group(invoke_without_command=True)
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
