"""The subcommand `import`."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--format", "kind", type=click.Choice(["exim", "sendmail", "access"]), help="Where the name does not tell."
)
def import_(files: tuple[Path, ...], kind: str | None) -> None:
    """Translate exim.conf, sendmail.mc, sendmail.cf or sendmail's access table into main.cf, on standard output.

    Every setting names the line that it comes from. What has no counterpart is told on standard error, file and line.

    \b
    Example:
      hardmail import /etc/mail/sendmail.mc >> main.cf
    """
    from lab import importer

    for file in files:
        result = importer.translate(file, kind)
        click.echo("\n".join([f"# {file}, translated by hardmail import.", *result.lines()]))
        for entry in result.missing:
            click.echo(str(entry), err=True)
