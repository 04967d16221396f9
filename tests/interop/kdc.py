"""A Kerberos realm of the test's own: a KDC on loopback, its principals, keytabs and tickets."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers import find

REALM = "LAB.EXAMPLE"
START_SECONDS = 15.0


@dataclass(frozen=True)
class Realm:
    """A running realm."""

    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes Kerberos programs use this realm, and a ticket cache in its directory."""
        return {
            "KRB5_CONFIG": str(self.directory / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.directory / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.directory}/tickets",
        }

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a Kerberos program; its output."""
        environment = {**os.environ, **self.environment}
        result = subprocess.run(argv, input=stdin, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, f"{argv}: {result.stdout}{result.stderr}"
        return result.stdout

    def add(self, principal: str, password: str = "") -> None:
        """A principal with this password, or with a random key."""
        key = f"-pw {password}" if password else "-randkey"
        self.run(find("kadmin.local", "krb5-admin-server"), "-r", REALM, "-q", f"addprinc {key} {principal}@{REALM}")

    def keytab(self, path: Path, *principals: str) -> None:
        """Write the keys of services."""
        for principal in principals:
            self.run(
                find("kadmin.local", "krb5-admin-server"), "-r", REALM, "-q", f"ktadd -k {path} {principal}@{REALM}"
            )

    def kinit(self, principal: str, password: str) -> None:
        """Get a ticket."""
        self.run(find("kinit", "krb5-user"), f"{principal}@{REALM}", stdin=f"{password}\n")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def realm(directory: Path) -> Iterator[Realm]:
    """Start a KDC with an empty realm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "krb5.conf").write_text(
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
        f" dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
        f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n"
        f"[domain_realm]\n .lab.example = {REALM}\n localhost = {REALM}\n"
    )
    (directory / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\n {REALM} = {{\n  database_name = {directory}/principal\n  key_stash_file = {directory}/stash\n"
        f"  acl_file = {directory}/acl\n  max_life = 1h\n }}\n"
        f"[logging]\n kdc = FILE:{directory}/kdc.log\n"
    )
    found = Realm(directory)
    find("krb5kdc", "krb5-kdc")
    found.run(find("kdb5_util", "krb5-kdc"), "create", "-s", "-r", REALM, "-P", "master-of-the-test")
    environment = {**os.environ, **found.environment}
    kdc = subprocess.Popen([find("krb5kdc", "krb5-kdc"), "-n", "-r", REALM], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert kdc.poll() is None, (directory / "kdc.log").read_text()
            assert time.monotonic() < deadline, "the KDC does not listen"
            time.sleep(0.05)
        yield found
    finally:
        kdc.terminate()
        kdc.wait(10)
