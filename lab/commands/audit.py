"""`hardmail audit`: its options, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path, dir_okay=False)
EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)
SEVERITIES = ("info", "low", "medium", "high", "critical")
FORMATS = ("text", "json", "sarif", "html")
CONSENTS = ("mail", "smuggling", "load", "guessing")


def _list(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from lab.audit import command

        click.echo(command.listing())
        ctx.exit()


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Of the report.")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write the report there instead of standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Text: also observations, facts and the lines of the dialogue.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default="medium",
    show_default=True,
    help="Exit status 1 if there is a finding at least as severe as this.",
)
@click.option(
    "--allow",
    "consents",
    type=click.Choice(CONSENTS),
    multiple=True,
    help="What would otherwise not be done; may be repeated. mail: send test mails to --sink. smuggling: "
    "send mails with false ends to --sink. load: many recipients and connections. guessing: wrong passwords.",
)
@click.option("--sink", default="", metavar="ADDRESS", help="Your own address there, for mail that --allow sends.")
@click.option("--i-own-this-host", "owned", is_flag=True, help="Audit hosts outside of private networks, too.")
@click.option("--rate", type=click.FloatRange(0.1, 1000), default=10, show_default=True, help="Connections a second.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=10, show_default=True, help="Seconds to wait for an answer."
)
@click.option(
    "--connections",
    type=click.IntRange(2, 1000),
    default=60,
    show_default=True,
    help="With --allow load: how many at once.",
)
@click.option("--source", default="", metavar="ADDRESS", help="Connect from this address of yours.")
@click.option("--helo", default="", metavar="NAME", help="Say this in EHLO (default: the own address).")
@click.option("--sender", default="hardmail-audit@example.com", show_default=True, metavar="ADDRESS", help="MAIL FROM.")
@click.option(
    "--victim",
    default="hardmail-audit@example.net",
    show_default=True,
    metavar="ADDRESS",
    help="A recipient elsewhere, whom the server must not relay to.",
)
@click.option("--domain", default="", help="The server's own domain (default: learned from its greeting).")
@click.option(
    "--recipient", default="", metavar="ADDRESS", help="One that the server takes mail for (default: postmaster)."
)
@click.option("--name", default="", help="The name that the certificate has to prove (default: the target's).")
@click.option("--ca-file", type=EXISTING, metavar="FILE", help="Trust these authorities instead of the system's.")
@click.option(
    "--user",
    default="",
    metavar="NAME",
    help="Log in and look from inside. The password is read from --password-file, else from the environment variable "
    "HARDMAIL_AUDIT_PASSWORD, else asked for.",
)
@click.option("--password-file", type=EXISTING, metavar="FILE", help="Its first line is the password of --user.")
@click.option(
    "--path", "paths", multiple=True, help="With --user: a further path that must be no mailbox; may be repeated."
)
@click.option("--insecure", is_flag=True, help="Give the password even to a server that does not prove its name.")
@click.option("--only", multiple=True, metavar="CHECK", help="Make only this check (see --list); may be repeated.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show all checks.")
def audit(targets: tuple[str, ...], **options: Any) -> None:
    """Look at mail servers from outside for every documented behaviour, and say how to mend what is missing.

    TARGET is smtp://HOST, submission://, smtps://, imap://, imaps://, pop3:// or pop3s://, with [::1] for an IPv6
    address and :PORT where it is another than usual.

    Nothing is changed and no mail sent without --allow. Exit status: 0 nothing as severe as --fail-on, 1 something,
    69 a target could not be audited, 64 usage.

    \b
    Examples:
      hardmail audit smtp://127.0.0.1 imaps://localhost
      hardmail audit --format sarif -o report.sarif --fail-on high smtp://mail.internal.example
      hardmail audit --i-own-this-host --user alice submission://mail.example.org imap://mail.example.org
      hardmail audit --allow smuggling --sink me@example.org smtp://192.168.1.25
    """
    from lab.audit import command

    sys.exit(command.run(targets, options))
