"""Private database servers for the tests: started in a directory of their own, on loopback and a unix socket."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers import find
from tls.authority import Authority

PASSWORD = "s3cret 'quoted'"
# Loaded machines take long to start a database.
START_LIMIT = 60.0

# address, target: what all three servers know. The collation is not the connection's own.
PEOPLE = (
    ("a@x.test", "a/"),
    ("a@x.test", "b/"),
    ("o'hara@x.test", "o/"),
    ("back\\slash@x.test", "bs/"),
    ('quo"te@x.test', "q/"),
    ("jürgen@x.test", "jü/"),
    ("star*@x.test", "star/"),
    ("par(en)@x.test", "par/"),
    ("comma,plus+@x.test", "cp/"),
)
# MariaDB's: in the database's own character set, and in another.
AUTHENTICATION = ("-A", "scram-sha-256", "-N", "-E", "UTF8", "--locale=C.UTF-8")
TABLES = ("people", "latin")


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and a function that runs its administrator's command."""

    directory: Path
    socket: Path
    port: int
    run: Callable[[str], str]
    tls_port: int = 0
    ca_file: Path = Path()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def place(user: str) -> Iterator[tuple[Path, dict[str, str | int]]]:
    """A directory with a short name that belongs to the server's user, and the arguments that make a child that user."""
    path = Path(tempfile.mkdtemp(prefix="hm-"))
    identity: dict[str, str | int] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
        path.chmod(0o755)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid}
    try:
        yield path, identity
    finally:
        shutil.rmtree(path)


@contextmanager
def running(
    command: Sequence[str | Path], identity: dict[str, str | int], log: Path, ready: Callable[[], bool]
) -> Iterator[None]:
    """A server in the foreground, ended by SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            extra_groups=[] if identity else None,
            **identity,  # type: ignore[call-overload]
        )
    try:
        deadline = time.monotonic() + START_LIMIT
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def certificates(base: Path, identity: dict[str, str | int]) -> tuple[Path, Path, Path]:
    """Authority, certificate and key of a server at 127.0.0.1, readable by its user."""
    authority = Authority.create(base / "ca")
    issued = authority.issue_server(["127.0.0.1", "localhost"])
    copies = []
    for name in (authority.certificate_file, issued.certificate_file, issued.key_file):
        copies.append(Path(shutil.copy(name, base / f"tls-{len(copies)}.pem")))
        copies[-1].chmod(0o600 if len(copies) == 3 else 0o644)
        if identity:
            os.chown(copies[-1], int(identity["user"]), int(identity["group"]))
    return copies[0], copies[1], copies[2]


def once(command: Sequence[str | Path], identity: dict[str, str | int]) -> None:
    """Run a command to its end as the server's user; what it prints is shown if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        cwd="/",
        extra_groups=[] if identity else None,
        **identity,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def answers(command: Sequence[str | Path], text: str = "", **environment: str) -> tuple[bool, str]:
    """Whether a client's command succeeds, and what it prints."""
    done = subprocess.run(
        [str(word) for word in command],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
        cwd="/",
    )
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@contextmanager
def pgsql() -> Iterator[Server]:
    bin_places = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb = find("initdb", "postgresql", *bin_places)  # before the user is looked up, who comes with the package
    with place("postgres") as (base, identity):
        data, port = base / "data", free_port()
        secret = base / "pw"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        once(
            [initdb, "-D", data, "-U", "mail", *AUTHENTICATION, f"--pwfile={secret}"],
            identity,
        )
        psql = [
            find("psql", "postgresql-client", *bin_places),
            "-h",
            base,
            "-p",
            str(port),
            "-U",
            "mail",
            "-d",
            "postgres",
            "-qAtX",
        ]

        def run(text: str) -> str:
            done, output = answers([*psql, "-v", "ON_ERROR_STOP=1", "-f", "-"], text, PGPASSWORD=PASSWORD)
            assert done, output
            return output

        command = [find("postgres", "postgresql", *bin_places), "-D", data, "-k", base, "-p", str(port), "-F"]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=1MB", "-c", "max_connections=10"]
        with running(
            command, identity, base / "log", lambda: answers([*psql, "-c", "SELECT 1"], PGPASSWORD=PASSWORD)[0]
        ):
            run("CREATE TABLE people (address text, target text, active boolean DEFAULT true, n integer DEFAULT 7);")
            values = ", ".join(f"({sql(address)}, {sql(target)})" for address, target in PEOPLE)
            run(f"INSERT INTO people VALUES {values};")
            yield Server(base, base, port, run)


@contextmanager
def mysql() -> Iterator[Server]:
    mariadbd = find("mariadbd", "mariadb-server")
    with place("mysql") as (base, identity):
        data, path, port = base / "data", base / "sock", free_port()
        once(
            [
                find("mariadb-install-db", "mariadb-server"),
                "--no-defaults",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ],
            identity,
        )
        client = [
            find("mariadb", "mariadb-client"),
            "--no-defaults",
            "-u",
            "root",
            "-S",
            path,
            "-N",
            "--default-character-set=utf8mb4",
        ]

        def run(text: str) -> str:
            done, output = answers(client, text)
            assert done, output
            return output

        ca, certificate, key = certificates(base, identity)
        command = [mariadbd, "--no-defaults", f"--datadir={data}", f"--socket={path}"]
        command += [f"--port={port}", "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=8M"]
        command += [f"--pid-file={base}/pid", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]
        command += [f"--ssl-ca={ca}", f"--ssl-cert={certificate}", f"--ssl-key={key}"]
        with running(command, identity, base / "log", lambda: answers([*client, "-e", "SELECT 1"])[0]):
            run(
                "CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE mail;"
                "CREATE TABLE people (address varchar(255), target varchar(255), active bool DEFAULT true);"
                "CREATE TABLE latin (address varchar(255), target varchar(255)) CHARACTER SET latin1;"
                "CREATE PROCEDURE find_person(IN who varchar(255)) SELECT target FROM people WHERE address = who;"
                "CREATE PROCEDURE nothing(IN who varchar(255)) SET @x = who;"
                f"CREATE USER mail@localhost IDENTIFIED BY {sql(PASSWORD)};"
                f"CREATE USER mail@127.0.0.1 IDENTIFIED BY {sql(PASSWORD)};"
                "GRANT SELECT, EXECUTE ON mail.* TO mail@localhost; GRANT SELECT ON mail.* TO mail@127.0.0.1;"
            )
            values = ", ".join(f"({sql(address)}, {sql(target)})" for address, target in PEOPLE).replace("\\", "\\\\")
            run("USE mail;" + "".join(f"INSERT INTO {name} (address, target) VALUES {values};" for name in TABLES))
            yield Server(base, path, port, run, port, ca)


def sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


ROOT = "dc=x,dc=test"
LDIF = f"""\
dn: {ROOT}
objectClass: dcObject
objectClass: organization
o: x
dc: x

dn: ou=g,{ROOT}
objectClass: organizationalUnit
ou: g

dn: cn=admin,{ROOT}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: admin
userPassword: {PASSWORD}
"""


def person(name: str, *attributes: tuple[str, str], under: str = ROOT) -> str:
    """An entry: extensibleObject takes any attribute."""

    def line(key: str, value: str) -> str:
        return f"{key}:: {base64.b64encode(value.encode()).decode()}\n"

    escaped = "".join("\\" + c if c in '",+<>;\\=#' else c for c in name)
    lines = [line("dn", f"cn={escaped},{under}"), "objectClass: applicationProcess\nobjectClass: extensibleObject\n"]
    return "".join([*lines, line("cn", name), *(line(*pair) for pair in attributes)]) + "\n"


@contextmanager
def ldap() -> Iterator[Server]:
    slapd = find("slapd", "slapd")
    with place("openldap") as (base, identity):
        (base / "db").mkdir()
        if identity:
            os.chown(base / "db", int(identity["user"]), int(identity["group"]))
        people: dict[str, list[str]] = {}
        for address, target in PEOPLE:
            people.setdefault(address, []).append(target)
        ldif = LDIF + "\n"
        for address, targets in people.items():
            ldif += person(address, ("mail", address), *(("labeledURI", target) for target in targets))
        ldif += person(
            "list", ("mail", "list@x.test"), ("member", f"cn=a@x.test,{ROOT}"), ("member", f"cn=gone,{ROOT}")
        )
        ldif += person("url", ("mail", "url@x.test"), ("description", f"ldap:///{ROOT}?labeledURI?sub?(mail=a@x.test)"))
        ldif += person("loop", ("mail", "loop@x.test"), ("member", f"cn=loop,{ROOT}"))
        ldif += person("delegated", ("mail", "d@x.test"), ("l", "terminal"), ("labeledURI", "not this"))
        ca, certificate, key = certificates(base, identity)
        (base / "conf").write_text(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
            "include /etc/ldap/schema/inetorgperson.schema\ninclude /etc/ldap/schema/nis.schema\n"
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nallow bind_v2\n"
            f"TLSCACertificateFile {ca}\nTLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"
            f"pidfile {base}/pid\nargsfile {base}/args\n"
            'access to attrs=userPassword by anonymous auth\naccess to dn.exact="" by * read\naccess to * by users read\n'
            f'database mdb\nsuffix "{ROOT}"\nrootdn "cn=root,{ROOT}"\nrootpw root\ndirectory {base}/db\n'
        )
        (base / "ldif").write_text(ldif)
        for name in ("conf", "ldif"):
            (base / name).chmod(0o644)
        path, port, tls_port = base / "sock", free_port(), free_port()
        once(
            [slapd, "-Ta", "-f", base / "conf", "-l", base / "ldif"],
            identity,
        )
        url = "ldapi://" + str(path).replace("/", "%2F")
        ask = [find("ldapsearch", "ldap-utils"), "-x", "-H", url, "-s", "base", "-b", ""]

        def run(text: str) -> str:
            done, output = answers(
                [find("ldapmodify", "ldap-utils"), "-x", "-H", url, "-D", f"cn=root,{ROOT}", "-w", "root"], text
            )
            assert done, output
            return output

        with running(
            [
                slapd,
                "-d",
                "0",
                "-f",
                base / "conf",
                "-h",
                f"{url} ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}",
            ],
            identity,
            base / "log",
            lambda: answers(ask)[0],
        ):
            yield Server(base, path, port, run, tls_port, ca)
