"""What `hardmail audit` does: options into settings, the audit, the report, the exit status."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from lab.audit.audit import audit
from lab.audit.checks import CHECKS
from lab.audit.finding import Severity
from lab.audit.page import as_html
from lab.audit.report import Report, as_json
from lab.audit.sarif import as_sarif
from lab.audit.settings import Allow, Settings
from lab.audit.target import Target
from lab.audit.text import show
from lab.errors import LabError, UsageError
from tls.context import client_context
from tls.errors import TLSConfigError
from tls.policy import Policy

PASSWORD_VARIABLE = "HARDMAIL_AUDIT_PASSWORD"  # noqa: S105 - the name of a variable
COPIED = (
    "sink", "sender", "victim", "domain", "recipient", "helo", "user", "insecure", "name", "ca_file", "source", "rate",
    "timeout", "connections", "paths",
)  # fmt: skip
ADDRESSES = ("sink", "sender", "victim", "recipient")
NAMES = ("helo", "domain", "name", "source")


def run(targets: Sequence[str], options: Mapping[str, Any]) -> int:
    """The exit status (sysexits.h; 1: findings). Raises LabError."""
    parsed = [Target.parse(text) for text in dict.fromkeys(targets)]
    settings = chosen(options)
    console = Console(stderr=True, highlight=False)
    with console.status("", spinner="line") as status:
        # As Text: a target may hold brackets, which rich would take for its markup.
        report = asyncio.run(
            audit(parsed, settings, owned=options["owned"], progress=lambda text: status.update(Text(text)))
        )
    _write(report, options["form"], options["output"], verbose=options["verbose"])
    if report.at_least(Severity[options["fail_on"].upper()]):
        return 1
    return os.EX_UNAVAILABLE if any(target.unreachable for target in report.targets) else os.EX_OK


def chosen(options: Mapping[str, Any]) -> Settings:
    """Raises UsageError."""
    allowed = frozenset(map(Allow, options["consents"]))
    if allowed & {Allow.MAIL, Allow.SMUGGLING} and not options["sink"]:
        raise UsageError("--allow mail and --allow smuggling send mail: name an address of your own with --sink")
    for name in (*ADDRESSES, *NAMES):
        text = options[name]
        plain = text.isascii() and text.isprintable() and not set("<> ") & set(text)
        if text and not (plain and text.count("@") == (1 if name in ADDRESSES else 0)):
            raise UsageError(f"--{name} {text!r} is no {'mail address' if name in ADDRESSES else 'name'}")
    if options["ca_file"] is not None:
        try:
            client_context(Policy(), options["ca_file"])
        except TLSConfigError as error:
            raise UsageError(str(error)) from None
    unknown = set(options["only"]) - {check.name for check in CHECKS}
    if unknown:
        raise UsageError(f"--only: there is no check {', '.join(sorted(unknown))}; --list shows them")
    password = _password(options["password_file"]) if options["user"] else ""
    copied = {name: options[name] for name in COPIED}
    return Settings(allowed=allowed, password=password, only=frozenset(options["only"]), **copied)


def _password(file: Path | None) -> str:
    if file is not None:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeError) as error:
            raise UsageError(f"--password-file {file}: {getattr(error, 'strerror', None) or 'no text'}") from None
        if not lines:
            raise UsageError(f"--password-file {file} is empty")
        return lines[0]
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise UsageError(f"--user needs a password: --password-file, {PASSWORD_VARIABLE}, or a terminal to ask at")
    return getpass.getpass("Password: ")


def _write(report: Report, form: str, output: Path | None, *, verbose: bool) -> None:
    makers = {"json": as_json, "sarif": as_sarif, "html": as_html}
    try:
        with output.open("w", encoding="utf-8") if output else os.fdopen(os.dup(1), "w") as file:
            if form == "text":
                show(Console(file=file, highlight=False, markup=False, emoji=False), report, verbose=verbose)
            else:
                file.write(makers[form](report).rstrip("\n") + "\n")
    except OSError as error:
        raise LabError(f"{output or 'standard output'}: {error.strerror}") from None


def listing() -> str:
    """Every check with its rules."""
    lines = []
    for check in CHECKS:
        lines.append(check.name)
        lines += [f"  {rule.severity.word:<8} {rule.id:<26} {rule.title}" for rule in check.rules]
    return "\n".join(lines)
