"""Subcommands that look and show: check, test, demo."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lab.commands.options import CONFDIR


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


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the test suite, quick tests first; arguments go to pytest (its own help: hardmail test -- --help).

    \b
    Example:
      hardmail test -k smuggling
    """
    from lab import selftest

    sys.exit(selftest.run(list(arguments)))


@click.command()
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
