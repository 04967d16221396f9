"""The subcommand `watch`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from lab.commands.options import which


@click.command()
@which
@click.option("--service", default="", metavar="NAME", help="Only services with this in their name, or a protocol.")
@click.option("--client", default="", metavar="ADDRESS", help="Only clients whose address begins so.")
@click.option("--user", default="", metavar="NAME", help="Only connections on which this user has logged in.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Only this port of the server.")
@click.option("--grep", metavar="PATTERN", help="Only lines that match this regular expression.")
@click.option("--outgoing", is_flag=True, help="What the queue manager says to other servers, too.")
@click.option("--seconds", type=click.FloatRange(0), metavar="N", help="End after so long; else with Ctrl-C.")
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a page at the end.")
def watch(
    directory: Path | None,
    confdir: Path | None,
    service: str,
    client: str,
    user: str,
    port: int | None,
    grep: str | None,
    outgoing: bool,
    seconds: float | None,
    html_file: Path | None,
) -> None:
    """Show every dialogue of a running lab: who says what to whom, after STARTTLS too, without the secrets.

    SMTP, LMTP, IMAP, POP3 and the authentication protocol. C: is the client, S: the server, C= and S= are said under
    TLS. Only the user who runs the lab can watch, and root.

    \b
    Examples:
      hardmail watch
      hardmail watch --service imap --user alice
      hardmail watch --port 25 --grep '^[45]' --html refused.html
    """
    from lab import watch as module
    from lab.errors import UsageError
    from lab.supervisor import state

    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        raise UsageError(f"--grep: {error}") from None
    filters = module.Filters(service, client, user, port, pattern, outgoing)
    seen = module.Watch(filters, click.echo)
    supervisor, lines = module.attach(state.find(directory, confdir).watch_path)
    with supervisor, lines:
        for event in module.events(lines, supervisor, seconds):
            seen.hear(event)
    if html_file is not None:
        html_file.touch(mode=0o600)
        html_file.write_text(seen.page(), encoding="utf-8")
