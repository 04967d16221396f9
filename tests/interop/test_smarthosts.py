"""Postfix, Exim and OpenSMTPD as smarthosts: they take our mail over verified TLS, after a log-in, and not without."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.behaviours.processes import HARDMAIL
from tests import peers
from tests.interop import realpostfix
from tests.interop.test_exim import EXIM, _listens, started
from tests.lab.conftest import wait_for
from tests.servers import free_port
from tls.authority import Authority, Credentials

pytestmark = [pytest.mark.interop, pytest.mark.needs_root]

HOST = "smarthost.example.com"
OPENSMTPD = "/opt/opensmtpd/usr/sbin"


@dataclass
class Smarthost:
    """Where a smarthost listens, and what it writes about mail that it took."""

    port: int
    log: Path
    accepted: str
    """A pattern in that log."""
    wrapped: bool = False
    """TLS from the first octet, and no AUTH."""


@contextmanager
def exim(directory: Path, credentials: Credentials) -> Iterator[Smarthost]:
    program = peers.find("exim4", "exim4-daemon-heavy", EXIM)  # before its user, who comes with it
    directory.mkdir(0o755)
    for file in (credentials.certificate_file, credentials.key_file):
        shutil.copy(file, directory / file.name)
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, "Debian-exim", "Debian-exim")
    port, configuration = free_port(), directory / "exim.conf"
    condition = "${if and {{eq{$auth2}{alice}}{eq{$auth3}{secret}}}}"
    configuration.write_text(
        f"primary_hostname = {HOST}\nlocal_interfaces = 127.0.0.1\nspool_directory = {directory}/spool\n"
        f"log_file_path = {directory}/%slog\npid_file_path = {directory}/pid\nhost_lookup =\nrfc1413_query_timeout = 0s\n"
        f"keep_environment =\ntls_advertise_hosts = *\ntls_certificate = {directory}/{credentials.certificate_file.name}\n"
        f"tls_privatekey = {directory}/{credentials.key_file.name}\nauth_advertise_hosts = ${{if def:tls_in_cipher{{*}}}}\n"
        "acl_smtp_rcpt = rcpt\nqueue_only = true\nlog_selector = +tls_cipher\n"
        "begin acl\nrcpt:\n  accept authenticated = *\n    encrypted = *\n  deny message = relay not permitted\n"
        f"begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n"
        f'  server_condition = "{condition}"\n  server_set_id = $auth2\n'
    )
    command = [program, "-C", str(configuration), "-bdf", "-oX", str(port)]
    with started(command, directory / "exim.err", lambda: _listens(port)):
        yield Smarthost(port, directory / "mainlog", r"<= sender@client.example .* P=esmtpsa X=TLS.* A=plain:alice")


@contextmanager
def opensmtpd(directory: Path, credentials: Credentials) -> Iterator[Smarthost]:
    """Behind stunnel, and so without AUTH: Debian 12's own build cannot use its key with OpenSSL 3 ("EVP lib")."""
    directory.mkdir(0o755)
    inner, outer, log = free_port(), free_port(), directory / "log"
    (directory / "smtpd.conf").write_text(
        f'listen on 127.0.0.1 port {inner} hostname {HOST}\naction "on" relay host smtp://127.0.0.1:9\n'
        'match from any for any action "on"\n'
    )
    (directory / "stunnel.conf").write_text(
        f"foreground = yes\npid =\ncert = {credentials.certificate_file}\nkey = {credentials.key_file}\n"
        f"[smtps]\naccept = 127.0.0.1:{outer}\nconnect = 127.0.0.1:{inner}\n"
    )
    smtpd = [peers.find("smtpd", "opensmtpd", OPENSMTPD), "-d", "-f", str(directory / "smtpd.conf")]
    stunnel = [peers.find("stunnel4", "stunnel4"), str(directory / "stunnel.conf")]
    with started(smtpd, log, lambda: _listens(inner)):
        with started(stunnel, directory / "stunnel.log", lambda: _listens(outer)):
            yield Smarthost(outer, log, r"smtp message msgid=\w+ size=\d+ nrcpt=1 proto=ESMTP", wrapped=True)


@contextmanager
def postfix(directory: Path, credentials: Credentials) -> Iterator[Smarthost]:
    directory.mkdir(0o755)
    port, service = free_port(), directory / "auth"
    service.mkdir(0o755)
    (service / "users").write_text("alice:{PLAIN}secret\n")
    (service / "users").chmod(0o644)
    (service / "dovecot.conf").write_text(
        f"protocols = none\nbase_dir = {service}/run\nstate_dir = {service}/state\nlog_path = {service}/log\n"
        f"auth_mechanisms = plain\npassdb {{\n  driver = passwd-file\n  args = {service}/users\n}}\n"
        "service auth {\n  unix_listener auth-client {\n    mode = 0666\n  }\n}\n"
    )
    main = (
        f"myhostname = {HOST}\nmydestination =\nmynetworks = 192.0.2.1/32\ndefault_transport = discard:\n"
        f"smtpd_tls_cert_file = {credentials.certificate_file}\nsmtpd_tls_key_file = {credentials.key_file}\n"
        "smtpd_tls_security_level = encrypt\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
        f"smtpd_sasl_path = {service}/run/auth-client\nsmtpd_tls_auth_only = yes\n"
        "smtpd_recipient_restrictions = permit_sasl_authenticated, reject\nsmtpd_relay_restrictions =\n"
    )
    listeners = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    ready = (service / "run/auth-client").exists
    with started([*HARDMAIL, "run", "-c", str(service)], service / "stderr", ready):
        with realpostfix.running(peers.find("postfix", "postfix"), directory, listeners, main):
            yield Smarthost(port, directory / "mail.log", r"sasl_method=PLAIN, sasl_username=alice")


@contextmanager
def client(
    directory: Path, authority: Authority, smarthost: Smarthost, password: str, trust: str = ""
) -> Iterator[Path]:
    """Our null client with that smarthost; its log."""
    directory.mkdir(0o755)
    (directory / "hosts").write_text(f"127.0.0.1 {HOST}\n")
    (directory / "passwords").write_text(f"[{HOST}]:{smarthost.port} alice:{password}\n")
    (directory / "main.cf").write_text(
        f"queue_directory = {directory}/queue\ndata_directory = {directory}/data\nmaillog_file = {directory}/log\n"
        f"myhostname = client.example\nmydestination =\ninet_interfaces = 127.0.0.1\n"
        f"relayhost = [{HOST}]:{smarthost.port}\nsmtp_host_lookup = native\nhardmail_hosts_file = {directory}/hosts\n"
        f"smtp_tls_security_level = secure\nsmtp_tls_CAfile = {trust or authority.certificate_file}\nsmtp_tls_loglevel = 1\n"
        f"smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{directory}/passwords\n"
        "smtp_sasl_tls_security_options = noanonymous\n"
        f"smtp_tls_wrappermode = {'yes' if smarthost.wrapped else 'no'}\n"
    )
    (directory / "master.cf").write_text(
        "qmgr unix n - n 300 1 qmgr\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n"
    )
    with started(
        [*HARDMAIL, "run", "-c", str(directory)], directory / "stderr", (directory / "queue/public/qmgr").exists
    ):
        letter = b"From: sender@client.example\nSubject: hello\n\nbody\n.\n..\n"
        command = [
            *HARDMAIL,
            "sendmail",
            "-C",
            str(directory),
            "-i",
            "-f",
            "sender@client.example",
            "friend@example.org",
        ]
        subprocess.run(command, input=letter, check=True, timeout=30)
        yield directory / "log"


def outcome(log: Path) -> tuple[str, str]:
    """`status=` and the reason of the one delivery."""
    found = wait_for(
        lambda: log.exists() and re.search(r"to=<friend@example.org>.* status=(\w+) \((.*)\)", log.read_text()),
        "a delivery",
    )
    return found[1], found[2]


SMARTHOSTS: dict[str, Callable[[Path, Credentials], object]] = {
    "postfix": postfix,
    "exim": exim,
    "opensmtpd": opensmtpd,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMARTHOSTS)
def test_it_takes_our_mail_over_verified_tls_after_a_login(place: Path, name: str) -> None:
    authority, stranger = Authority.create(place / "ca"), Authority.create(place / "stranger")
    credentials = authority.issue_server([HOST])
    for path in (place, place / "ca"):
        path.chmod(0o755)
    with ExitStack() as stack:
        smarthost = stack.enter_context(SMARTHOSTS[name](place / name, credentials))
        with client(place / "good", authority, smarthost, "secret") as log:
            status, reason = outcome(log)
            assert status == "sent", reason
            assert f"Verified TLS connection established to {HOST}[127.0.0.1]:{smarthost.port}" in log.read_text()
            wait_for(lambda: re.search(smarthost.accepted, smarthost.log.read_text()), "the smarthost's word")
        if not smarthost.wrapped:
            with client(place / "bad", authority, smarthost, "wrong") as log:
                status, reason = outcome(log)
                assert (status, "535" in reason) == ("deferred", True), reason
        with client(place / "elsewhere", authority, smarthost, "secret", str(stranger.certificate_file)) as log:
            assert outcome(log) == ("deferred", "Server certificate not verified")
