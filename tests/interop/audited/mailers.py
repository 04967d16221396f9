"""Postfix with Dovecot, Exim and OpenSMTPD on the server's side of a network, as Debian has them and hardened."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import peers
from tests.interop import realdovecot, realpostfix
from tests.interop.audited.network import SERVER, Network
from tls.authority import Authority, Credentials

HOST, DOMAIN = "mail.example.test", "example.test"
EXIM, OPENSMTPD = Path("/opt/exim"), Path("/opt/opensmtpd")
START_SECONDS = 20.0
USER, PASSWORD = "alice", "correct horse"

# /etc/postfix/main.cf of Debian 12 for an "Internet Site", with the certificate of ssl-cert, as its postinst writes it.
POSTFIX_DEFAULT = f"""\
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_security_level=may
smtp_tls_security_level=may
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = {HOST}
mydestination = $myhostname, {DOMAIN}, localhost.{DOMAIN}, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
"""
POSTFIX_HARDENED = f"""\
myhostname = {HOST}
mydestination = $myhostname, {DOMAIN}
mynetworks = 127.0.0.1/32
inet_interfaces = all
inet_protocols = ipv4
smtpd_banner = $myhostname ESMTP
disable_vrfy_command = yes
smtpd_helo_required = yes
smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_pipelining
smtpd_forbid_bare_newline = normalize
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_exclude_ciphers = aNULL, eNULL, EXPORT, DES, 3DES, RC4, MD5, kRSA
smtpd_sasl_type = dovecot
smtpd_sasl_security_options = noanonymous
"""
SUBMISSION = """\
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
"""
DOVECOT_HARDENED = """\
ssl = required
ssl_min_protocol = TLSv1.2
ssl_cipher_list = ECDHE+AESGCM:ECDHE+CHACHA20
disable_plaintext_auth = yes
login_greeting = ready
auth_mechanisms = plain login
"""


@dataclass
class Mailer:
    """A running server: what it is, its doors, and who vouches for it (None: nobody)."""

    name: str
    targets: Sequence[str]
    ca_file: Path | None = None
    user: str = ""
    differences: str = ""
    log: Path = field(default=Path("/dev/null"))


@contextmanager
def daemon(command: Sequence[str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A program in the foreground, ended by SIGTERM."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def listens(network: Network, port: int) -> Callable[[], bool]:
    """Whether a stranger can connect."""
    program = f"import socket; socket.create_connection(('{SERVER}', {port}), 2).close()"

    def connected() -> bool:
        asked = network.at_stranger(sys.executable, "-c", program)
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    return connected


def snakeoil(directory: Path) -> tuple[Path, Path]:
    """What make-ssl-cert of Debian makes: RSA, 2048 bits, ten years, the host's name, signed by itself."""
    certificate, key = directory / "snakeoil.pem", directory / "snakeoil.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650"),
            *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
            *("-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def issued(directory: Path) -> tuple[Authority, Credentials]:
    authority = Authority.create(directory / "ca")
    return authority, authority.issue_server([HOST])


@contextmanager
def postfix_and_dovecot(network: Network, directory: Path, *, hardened: bool) -> Iterator[Mailer]:
    dovecot = peers.find("dovecot", "dovecot-core")
    postfix = peers.find("postfix", "postfix")
    authority = None
    certificate, key = snakeoil(directory)
    if hardened:
        authority, credentials = issued(directory)
        certificate, key = credentials.certificate_file, credentials.key_file
    with ExitStack() as stack:
        stack.enter_context(_dovecot(network, directory / "dovecot", dovecot, certificate, key, hardened=hardened))
        listeners = "smtp inet n - n - - smtpd\n"
        main = POSTFIX_HARDENED if hardened else POSTFIX_DEFAULT
        main += f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n"
        if hardened:
            main += f"smtpd_sasl_path = {directory}/dovecot/run/auth-client\n"
            listeners += f"submission inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n{SUBMISSION}"
            listeners += f"smtps inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n{SUBMISSION}"
        program = network.wrapper(postfix, directory)
        stack.enter_context(realpostfix.running(program, directory / "postfix", listeners, main))
        schemes = ["smtp", *(["submission", "smtps"] if hardened else []), "imap", "imaps", "pop3", "pop3s"]
        yield Mailer(
            "Postfix and Dovecot",
            [f"{scheme}://{SERVER}" for scheme in schemes],
            authority.certificate_file if authority else None,
            USER if hardened else "",
            log=directory / "postfix/mail.log",
        )


@contextmanager
def _dovecot(
    network: Network, directory: Path, dovecot: str, certificate: Path, key: Path, *, hardened: bool
) -> Iterator[None]:
    """Debian's files as the package brings them, with directories and a certificate of its own behind them."""
    directory.mkdir(0o755)
    shutil.copytree("/usr/share/dovecot/conf.d", directory / "conf.d")
    text = Path("/usr/share/dovecot/dovecot.conf").read_text()
    ssl = directory / "conf.d/10-ssl.conf"
    private = "/etc/dovecot/private/dovecot"
    ssl.write_text(ssl.read_text().replace(f"{private}.pem", str(certificate)).replace(f"{private}.key", str(key)))
    more = ""
    if hardened:
        (directory / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::/nonexistent\n")
        (directory / "users").chmod(0o644)
        (directory / "mail").mkdir()
        (directory / "mail").chmod(0o777)
        (directory / "conf.d/auth-system.conf.ext").write_text(
            f"passdb {{\n driver = passwd-file\n args = {directory}/users\n}}\n"
            f"userdb {{\n driver = static\n args = uid=nobody gid=nogroup home={directory}/mail/%u\n}}\n"
        )
        more += DOVECOT_HARDENED + "mail_location = maildir:~/Maildir\n"
        more += "service auth {\n unix_listener auth-client {\n  mode = 0666\n }\n}\n"
    (directory / "debian.conf").write_text(text)
    program = network.wrapper(dovecot, directory)
    configuration = f"!include {directory}/debian.conf\nssl = yes\n{more}log_path = {directory}/dovecot.log\n"
    with realdovecot.running(program, directory, configuration, [directory / "run/auth-client"]):
        yield


@contextmanager
def exim(network: Network, directory: Path, *, hardened: bool) -> Iterator[Mailer]:
    program = peers.find("exim4", "exim4-daemon-heavy", str(EXIM / "usr/sbin"))
    settings, authority = directory / "exim4", None
    shutil.copytree(EXIM / "etc/exim4", settings)
    (settings / "update-exim4.conf.conf").write_text(
        f"dc_eximconfig_configtype='internet'\ndc_other_hostnames='{DOMAIN};{HOST}'\ndc_local_interfaces=''\n"
        "dc_readhost=''\ndc_relay_domains=''\ndc_minimaldns='false'\ndc_relay_nets=''\ndc_smarthost=''\n"
        "CFILEMODE='644'\ndc_use_split_config='false'\ndc_hide_mailname=''\ndc_mailname_in_oh='true'\n"
        "dc_localdelivery='mail_spool'\n"
    )
    macros = ""
    if hardened:
        authority, credentials = issued(directory)
        for file in (credentials.certificate_file, credentials.key_file):
            shutil.chown(shutil.copy(file, settings / file.name), "Debian-exim", "Debian-exim")
        # Debian's script looks for the file of macros at its usual place alone, wherever the rest is.
        macros = (
            f"MAIN_TLS_ENABLE = yes\nMAIN_TLS_CERTIFICATE = {settings}/{credentials.certificate_file.name}\n"
            f"MAIN_TLS_PRIVATEKEY = {settings}/{credentials.key_file.name}\n"
            "CHECK_MAIL_HELO_ISSUED = yes\nCHECK_RCPT_VERIFY_SENDER = yes\n"
        )
    generated = directory / "exim.conf"
    subprocess.run(
        ["sh", str(EXIM / "usr/sbin/update-exim4.conf"), "-d", str(settings), "-o", str(generated)],
        check=True,
        capture_output=True,
    )
    text = generated.read_text().replace("/var/spool/exim4", f"{directory}/spool")
    head = f"log_file_path = {directory}/%slog\npid_file_path = {directory}/pid\nprimary_hostname = {HOST}\nsmtp_accept_max = 1000\n"
    if hardened:
        head = macros + head + "smtp_banner = $smtp_active_hostname ESMTP\n"
        head += "tls_require_ciphers = SECURE128:SECURE256:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3:-RSA:-CIPHER-ALL:"
        head += "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305\n"
        text = text.replace(
            "acl_check_mail:\n",
            "acl_check_mail:\n  deny\n    message = a name with a domain, please\n"
            "    condition = ${if match{$sender_helo_name}{^[a-z0-9[].*[.]}{no}{yes}}\n",
        )
    generated.unlink()
    generated.write_text(head + text)
    (directory / "spool").mkdir()
    for path in (directory, directory / "spool"):
        shutil.chown(path, "Debian-exim", "Debian-exim")
    command = network.at_server(program, "-C", str(generated), "-bdf", "-oX", "25")
    with daemon(command, directory / "stderr", listens(network, 25)):
        yield Mailer(
            "Exim",
            [f"smtp://{SERVER}"],
            authority.certificate_file if authority else None,
            log=directory / "mainlog",
        )


OPENSMTPD_DEFAULT = """\
table aliases file:/etc/aliases
listen on 0.0.0.0
action "local" maildir alias <aliases>
action "relay" relay
match for local action "local"
match from local for any action "relay"
"""


@contextmanager
def opensmtpd(network: Network, directory: Path, *, hardened: bool) -> Iterator[Mailer]:
    program = peers.find("smtpd", "opensmtpd", str(OPENSMTPD / "usr/sbin"))
    text = OPENSMTPD_DEFAULT
    if hardened:
        text = (
            f'table users {{ "postmaster@{DOMAIN}" = "root", "root@{DOMAIN}" = "root" }}\n'
            f'smtp max-message-size "20M"\nlisten on 0.0.0.0 hostname {HOST}\naction "local" maildir virtual <users>\n'
            f'match from any mail-from regex "[.]invalid$" for any reject\n'
            f'match from any mail-from regex "^[^@]+$" for any reject\n'
            f'match from any for domain "{DOMAIN}" action "local"\n'
        )
    (directory / "smtpd.conf").write_text(text)
    command = network.at_server(program, "-d", "-f", str(directory / "smtpd.conf"))
    with daemon(command, directory / "log", listens(network, 25)):
        yield Mailer("OpenSMTPD", [f"smtp://{SERVER}"], log=directory / "log")


MAILERS = {"postfix-dovecot": postfix_and_dovecot, "exim": exim, "opensmtpd": opensmtpd}


@contextmanager
def resolver(network: Network, directory: Path) -> Iterator[None]:
    """The name server on the server's side."""
    command = network.at_server(sys.executable, "-m", "tests.interop.audited.resolver")
    program = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); "
        "s.sendto(bytes.fromhex('00010100000100000000000004746573740000010001'), ('127.0.0.1', 53)); s.recv(512)"
    )

    def answers() -> bool:
        asked = network.at_server(sys.executable, "-c", program)
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    with daemon(command, directory / "resolver.log", answers):
        yield
