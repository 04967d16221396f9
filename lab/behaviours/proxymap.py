"""proxymap: a jailed process reads a table outside its jail only by asking, and only a table that may be asked for."""

from __future__ import annotations

from pathlib import Path

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript

ALIASES = Change("nullclient/main.cf", "virtual_alias_maps = proxy:texthash:@{dir}/elsewhere/aliases")
READABLE = Change("nullclient/main.cf", "proxy_read_maps = $virtual_alias_maps")
USED = Change(
    "nullclient/main.cf",
    "virtual_alias_domains = alias.example\n"
    "smtpd_etrn_restrictions = check_etrn_access proxy:texthash:@{dir}/elsewhere/secret",
)
LINES = "127.0.0.1:{port} inet n - n - - smtpd\nproxymap unix - - n - - proxymap\n"


async def who_opens(lab: Lab, confdir: Path, service: str, file: Path, evidence: Transcript) -> bool:
    """Whether code that runs inside a service can open a file."""
    result = await lab.python("lab.behaviours.intruder", str(confdir), service, str(file))
    if result.status:
        raise ProbeFailed(f"the intruder ends with {result.status}: {result.errors.strip()}")
    evidence.note(f"code inside {service}: {result.output.strip()}")
    return result.output.startswith("opened")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """An alias is found in a file that smtpd itself cannot open, and another file is not to be had at all."""
    elsewhere = lab.directory / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    (elsewhere / "aliases").write_text(f"info@alias.example alice@{lab.domain}\n")
    (elsewhere / "secret").write_text("alias.example REJECT the secret table is read\n")
    port = lab.free_port()
    confdir = lab.copy_of("nullclient", LINES.format(port=port))
    async with lab.daemon(confdir, evidence):
        if await who_opens(lab, confdir, "smtpd", elsewhere / "aliases", evidence):
            return exposed("smtpd opens the table itself, and so does whoever breaks into it")
        if not await who_opens(lab, confdir, "proxymap", elsewhere / "aliases", evidence):
            raise ProbeFailed("proxymap cannot open the table")
        async with await SMTP.open("127.0.0.1", port, transcript=evidence) as smtp:
            await smtp.ehlo("localhost")
            await smtp.command("MAIL FROM:<>")
            known = await smtp.command("RCPT TO:<info@alias.example>")
            unknown = await smtp.command("RCPT TO:<nobody@alias.example>")
            await smtp.command("RSET")
            secret = await smtp.command("ETRN alias.example")
    if (known.code, unknown.code) != (250, 550):
        raise ProbeFailed(f"the table is not read: {known} / {unknown}")
    if secret.code == 554:
        return exposed(f"a table that proxy_read_maps does not name is read: {secret}")
    if secret.code != 451:
        raise ProbeFailed(f"a table that may not be asked for: {secret}")
    return hardened(f"read through proxymap: {known}, {unknown}; the table that it may not give: {secret}")


BEHAVIOUR = Behaviour(
    slug="proxymap",
    title="A jailed process reads outside its jail only what it may ask for",
    source="L 3.2.2 Proxymap",
    why="Tables lie outside the jail, and their databases need passwords. If each server opened them itself, "
    "breaking into one would give away all. One process opens each table once and answers questions, about the tables "
    "that proxy_read_maps names and no others.",
    configuration=(ALIASES, READABLE),
    expectation="the alias is found, code inside smtpd cannot open the table, an unnamed table is refused (451)",
    probe=probe,
    given=(ALIASES, READABLE, USED),
    twin=Twin(
        (Change("nullclient/main.cf", "virtual_alias_maps = texthash:@{dir}/elsewhere/aliases"),),
        "code inside smtpd reads the table",
    ),
    instances=("nullclient",),
    shared=False,
)
