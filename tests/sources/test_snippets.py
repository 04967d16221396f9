"""Every configuration line that the source documents print is loaded as it stands, and a client sees what it does."""

from __future__ import annotations

import asyncio
import shlex
import stat
from pathlib import Path

import pytest

from lab.behaviours import Outcome, find
from lab.behaviours.base import Change
from lab.behaviours.processes import run_to_end
from lab.behaviours.proxymap import who_opens
from lab.behaviours.runner import probe
from lab.behaviours.ssh_tunnel import SOURCE
from lab.behaviours.stack import Lab
from lab.importer import translate
from lab.wire import Refused, Transcript
from tests import peers
from tests.sources.authority import immer_linux
from tests.sources.snippets import FED, SNIPPETS, feeds
from tls.context import client_context
from tls.policy import Policy

pytestmark = pytest.mark.slow


def imported(place: Path, name: str, text: str) -> tuple[str, list[str]]:
    """main.cf as `hardmail import` makes it of a file of that name, and what it could not translate."""
    (place / name).write_text(text)
    result = translate(place / name)
    return "\n".join(result.lines()), [str(entry) for entry in result.missing]


def test_every_snippet_is_fed() -> None:
    assert set(SNIPPETS) == FED


@pytest.mark.parametrize("name", [snippet.name for snippet in SNIPPETS.values() if snippet.into])
async def test_lines_do_what_the_document_says(name: str) -> None:
    """On a stack that was weakened, the document's lines alone bring every hardened answer back; or they open it."""
    snippet = SNIPPETS[name]
    for program in {program for slug in snippet.shows for program in find(slug).needs}:
        peers.find(program.name, program.package)
    instances, changes = snippet.stack()
    async with Lab.start(instances, changes) as lab:
        for slug in (*snippet.shows, *snippet.opens):
            run = await probe(find(slug), lab)
            wanted = Outcome.HARDENED if slug in snippet.shows else Outcome.OPEN
            assert run.finding.outcome is wanted, f"{slug}: {run.finding.said}\n{run.transcript}"


@feeds("local-interfaces", "inet-interfaces-localhost")
@pytest.mark.parametrize("name", ["local-interfaces", "inet-interfaces-localhost"])
async def test_only_the_loopback_address_greets(name: str, tmp_path: Path) -> None:
    """Exim's line, translated, and Postfix's; ::1 greets where /etc/hosts gives it to localhost too."""
    main = SNIPPETS[name].text
    if name == "local-interfaces":
        main, missing = imported(tmp_path, "exim.conf", main)
        assert not missing
    changes = [Change("nullclient/main.cf", text) for text in ("inet_interfaces = all", main)]
    async with Lab.start(["nullclient"], changes) as lab:
        async with await lab.smtp("nullclient.smtp", Transcript()) as smtp:
            assert smtp.greeting.code == 220
        with pytest.raises(Refused):
            await lab.smtp_at("127.0.0.5", lab.port("nullclient.smtp"), Transcript())


@feeds("receiver-verify")
async def test_exim_verifies_receivers(tmp_path: Path) -> None:
    main, missing = imported(tmp_path, "exim.conf", SNIPPETS["receiver-verify"].text)
    assert not missing
    weak = "local_recipient_maps =\nsmtpd_reject_unlisted_recipient = no"
    changes = [Change("mailhost/main.cf", text) for text in (weak, main)]
    async with Lab.start(["mailhost"], changes) as lab, await lab.smtp("mailhost.smtp", Transcript()) as smtp:
        await smtp.ehlo()
        await smtp.command("MAIL FROM:<friend@outside.example>")
        unknown = await smtp.command(f"RCPT TO:<nobody-of-that-name@{lab.domain}>")
        assert (unknown.code, unknown.enhanced) == (550, "5.1.1")
        known = await smtp.command(f"RCPT TO:<daemon@{lab.domain}>")
        assert known.code == 250, known


@feeds("fetchmailrc", "fetchmailrc-english")
@pytest.mark.parametrize("name", ["fetchmailrc", "fetchmailrc-english"])
async def test_fetchmail_understands_its_file(name: str, tmp_path: Path) -> None:
    fetchmail, text = peers.find("fetchmail", "fetchmail"), SNIPPETS[name].text
    control = tmp_path / "fetchmailrc"
    control.write_text(text)
    control.chmod(stat.S_IRUSR | stat.S_IWUSR)
    dump = await run_to_end([fetchmail, "--configdump", "--fetchmailrc", str(control)], "")
    for line in ("'via':'localhost'", "'service':'1236'", "'protocol':\"IMAP\"", "'remote':\"ref\"", ".Mail/debian"):
        assert line.replace('"', "'") in dump.output.replace('"', "'"), dump.output
    # What the behaviour ssh-tunnel then runs over the wire, with names and ports of the laboratory.
    assert text.replace('"hackme"', '"hackmich"') == SOURCE


@feeds("fetchmailrc")
async def test_fetchmail_fetches_through_its_tunnel() -> None:
    tunnel = find("ssh-tunnel")
    for program in tunnel.needs:
        peers.find(program.name, program.package)
    async with Lab.start(tunnel.instances, tunnel.given) as lab:
        run = await probe(tunnel, lab)
    assert run.finding.outcome is Outcome.HARDENED, f"{run.finding.said}\n{run.transcript}"


@feeds("stunnel")
async def test_stunnel_puts_tls_before_a_program(tmp_path: Path) -> None:
    """`stunnel -p CERTIFICATE -d PORT -l PROGRAM` is `hardmail tlswrap` with the same options."""
    program, argv = tmp_path / "popd", shlex.split(SNIPPETS["stunnel"].text)
    program.write_text('#!/bin/sh\necho "+OK popd is ready"\nread line\necho "+OK $line"\n')
    program.chmod(0o755)
    async with Lab.start(["mailhost"]) as lab:
        pair, port = tmp_path / "stunnel.pem", lab.free_port()
        pair.write_text("".join(path.read_text() for path in lab.certificate("mailhost")))
        pair.chmod(0o600)
        places = {"/etc/ssl/certs/stunnel.pem": str(pair), "pop3s": str(port), "/usr/sbin/popd": str(program)}
        assert argv[0] == "stunnel"
        wrapper = asyncio.create_task(lab.hardmail("tlswrap", *(places.get(word, word) for word in argv[1:])))
        try:
            async with asyncio.timeout(20):
                while not wrapper.done():
                    try:
                        reader, writer = await asyncio.open_connection(
                            "127.0.0.1", port, ssl=lab.trust, server_hostname=lab.name
                        )
                        break
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.05)
            assert await reader.readline() == b"+OK popd is ready\n"
            writer.write(b"QUIT\r\n")
            assert await reader.readline() == b"+OK QUIT\r\n"
            writer.close()
            await writer.wait_closed()
        finally:
            wrapper.cancel()
            await asyncio.gather(wrapper, return_exceptions=True)


def main_cf_of(lab: Lab, instance: str, text: str) -> str:
    """The text with the laboratory's paths, for a copy of an instance."""
    certificate, key = lab.certificate(instance)
    for mark, path in (("ca_file", lab.ca_file), ("certificate", certificate), ("key", key)):
        text = text.replace(f"@{{{mark}}}", str(path))
    return text


@feeds("tls-and-sasl")
async def test_both_roles_of_the_tls_and_sasl_settings() -> None:
    """The client logs in over TLS, rewrites and routes by its tables without DNS; the server offers TLS, and no AUTH."""
    text = SNIPPETS["tls-and-sasl"].change.text
    weak = (
        "smtp_tls_security_level =\nsmtp_sasl_auth_enable = no\nsmtp_generic_maps =\nsmtp_sasl_tls_security_options ="
    )
    async with Lab.start(["nullclient", "mailhost"]) as lab:
        port, alice, client = lab.free_port(), lab.user("alice"), lab.user("client")
        host = f"[127.0.0.2]:{lab.port('mailhost.submission')}"
        confdir = lab.copy_of("nullclient", f"127.0.0.1:{port} inet n - n - - smtpd\n", main=weak)
        text = main_cf_of(lab, "nullclient", text).replace("@{confdir}", str(confdir))
        with (confdir / "main.cf").open("a") as main:
            main.write(text.replace("@{data}", str(confdir.parent / "data")))
        tables = {
            "tls_per_site": "127.0.0.2 MUST_NOPEERMATCH\n",
            "sasl_passwd": f"{host} {client.name}:{client.password}\n",
            "generic": f"@client.lab.example @{lab.domain}\n",
            "transport": f"* smtp:{host}\n",
        }
        for name, content in tables.items():
            (confdir / name).unlink(missing_ok=True)
            (confdir / name).write_text(content)
        checked = await lab.hardmail("check", "-c", str(confdir))
        assert checked.status == 0, checked.output
        assert "unused parameter: .....smtpd_tls_session_cache_database=" in checked.output
        token, evidence = lab.token(), Transcript()
        async with lab.daemon(confdir, evidence), await lab.smtp_at("127.0.0.1", port, evidence) as smtp:
            await smtp.ehlo()
            assert "STARTTLS" in smtp.keywords
            await smtp.starttls(client_context(Policy(), ca_file=lab.ca_file, verify="chain"))
            await smtp.ehlo()
            assert "AUTH" not in smtp.keywords
            sent = await smtp.send_message("cron@client.lab.example", [alice.address], lab.message(token))
            assert sent.code == 250, sent
            mail = " ".join((await lab.arrived(alice, token, evidence)).decode().split())
        assert f"(Authenticated sender: {client.name})" in mail
        assert mail.count("(using TLSv1.3 with cipher") == 2  # on the way in, and on the way out
        assert f"Return-Path: <cron@{lab.domain}>" in mail


@feeds("master")
async def test_the_table_of_services_runs() -> None:
    """As printed, the options of `relay` begin in the first column, which the document itself says they must not."""
    text = SNIPPETS["master"].text
    async with Lab.start(["mailhost"]) as lab:
        port = lab.free_port()
        text = text.replace("smtp inet ", f"127.0.0.1:{port} inet ")
        confdir = lab.copy_of("mailhost", "", main="smtpd_sasl_auth_enable = no\nlocal_recipient_maps =")
        (confdir / "dovecot.conf").unlink()
        (confdir / "master.cf").write_text(text)
        printed = await lab.hardmail("check", "-c", str(confdir))
        assert printed.status == 78
        assert "master.cf, line 16: bad transport type: smtp_helo_timeout=5" in printed.output
        (confdir / "master.cf").write_text(text.replace("\n-o ", "\n -o "))
        async with lab.daemon(confdir, Transcript()), await lab.smtp_at("127.0.0.1", port, Transcript()) as smtp:
            assert smtp.greeting.code == 220
            await smtp.ehlo()
            sent = await smtp.send_message("friend@outside.example", [lab.user("alice").address], lab.message("x"))
            assert sent.code == 250
            # `y` in the column chroot: code inside smtpd cannot even read main.cf.
            assert not await who_opens(lab, confdir, "smtpd", confdir / "main.cf", Transcript())
        queued = await lab.hardmail("postconf", "-c", str(confdir), "-P", "relay/unix/smtp_helo_timeout")
        assert queued.output.strip() == "relay/unix/smtp_helo_timeout = 5"


@feeds("privacy-options")
async def test_sendmail_keeps_its_privacy(tmp_path: Path) -> None:
    main, missing = imported(tmp_path, "sendmail.mc", SNIPPETS["privacy-options"].text)
    assert not missing
    behaviours = [find("auth-warnings"), find("no-user-enumeration")]
    changes = [change for behaviour in behaviours for change in (*behaviour.given, *behaviour.twin.changes)]  # type: ignore[union-attr]  # both have one
    changes += [Change("nullclient/main.cf", main), Change("mailhost/main.cf", main)]
    async with Lab.start(["nullclient", "mailhost"], changes) as lab:
        for behaviour in behaviours:
            run = await probe(behaviour, lab)
            assert run.finding.outcome is Outcome.HARDENED, f"{run.finding.said}\n{run.transcript}"


@feeds("sendmail-tls", "access-feature", "access")
async def test_clients_of_one_authority_relay(tmp_path: Path) -> None:
    """STARTTLS with the certificates of `define`; who has a certificate of the authority in `access` may relay."""
    certs = tmp_path / "certs"
    certs.mkdir()
    printed, feature, entry = (SNIPPETS[name].text for name in ("sendmail-tls", "access-feature", "access"))
    branch = immer_linux(certs)
    tmp_path.chmod(0o755)
    printed = printed.replace("/etc/mail/certs", str(certs))
    (tmp_path / "access").write_text(entry)
    main, missing = imported(tmp_path, "sendmail.mc", printed + feature)
    assert missing == [f"{tmp_path}/sendmail.mc, line 8: dnl FEATURE('access_db'): `dnl` comments it out: not in force"]
    assert f"smtp_tls_cert_file = {certs}/MYcert.pem" in main
    # Without `dnl`, the entry as printed has no action in its first line: the document broke it.
    in_force = feature.removeprefix("dnl ")
    _, missing = imported(tmp_path, "sendmail.mc", printed + in_force)
    assert missing[0].startswith(f"{tmp_path}/access, line 1: CERTIssuer:/C=DE/ST=Berlin")
    (tmp_path / "access").write_text(entry.replace("immer-\n", "immer-"))
    main, missing = imported(tmp_path, "sendmail.mc", printed + in_force)
    assert not missing
    weak = "smtpd_tls_security_level = none\nsmtpd_recipient_restrictions ="
    changes = [Change("mailhost/main.cf", weak), Change("mailhost/main.cf", main)]
    async with Lab.start(["mailhost"], changes) as lab:
        for pair, code in ((branch, 250), (lab.certificate("mailhost"), 554)):
            context = client_context(
                Policy(), ca_file=lab.ca_file, verify="none", certificate_file=pair[0], key_file=pair[1]
            )
            async with await lab.smtp("mailhost.smtp", Transcript()) as smtp:
                await smtp.ehlo()
                await smtp.starttls(context)
                await smtp.ehlo()
                await smtp.command("MAIL FROM:<friend@outside.example>")
                assert (await smtp.command("RCPT TO:<friend@far.example>")).code == code
