"""Profiles: directories of real configuration files, rendered into a lab directory with real ports, users and paths."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import secrets
import socket
import stat
import string
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.sandbox.identity import Identity, myself, privileged, service_identity
from lab.supervisor.listeners import InetListener, Sockets

PROFILES = Path(__file__).parent
DEFAULT_PROFILE = "hardened"

# Written into the lab directory: where everything is (for anyone), and the passwords (for its owner).
LAB_FILE, CREDENTIALS_FILE = "lab.json", "credentials.json"

# 20 letters and digits: 119 bits, so that no slow hash is needed to protect them.
PASSWORD_LENGTH = 20
PASSWORD_LETTERS = string.ascii_letters + string.digits
HASH_PASSES, HASH_KIB = 1, 8192

# Attempts to find a port that is free on every address that needs it.
PORT_ATTEMPTS = 50
FIRST_PORT, PORTS_EACH = 10_000, 64
"""The lowest port that is chosen, and how many ports a laboratory may want."""

# The bound sockets that keep the ports of one instance.
Reserved = list[tuple[InetListener, socket.socket]]

PLACEHOLDER = re.compile(r"@\{([a-z0-9_.]+)\}")


@dataclass(frozen=True)
class Account:
    """A mail user of a lab. The password is made for this one lab and stands nowhere else in clear."""

    name: str
    address: str
    password: str
    instance: str

    def __repr__(self) -> str:
        return f"Account({self.address})"


@dataclass
class Lab:
    """A rendered lab: what stands where, and by instance the sockets that keep its ports for the supervisor."""

    directory: Path
    info: dict[str, Any]
    accounts: list[Account]
    reserved: dict[str, Reserved] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict, repr=False)
    """What the placeholders stood for; known only to whoever rendered it."""

    def instance(self, name: str) -> Mapping[str, Any]:
        """Paths, names and endpoints of one instance."""
        return self.info["instances"][name]  # type: ignore[no-any-return]

    @property
    def instances(self) -> list[str]:
        """The instances of the profile."""
        return list(self.info["instances"])

    def described(self) -> dict[str, Any]:
        """Everything, with the passwords: what `hardmail up --json` prints."""
        users = [{"name": a.name, "address": a.address, "password": a.password} for a in self.accounts]
        return {**self.info, "users": users, "pid": os.getpid()}


def profiles() -> list[str]:
    """The names of the profiles that come with hardmail."""
    return sorted(path.parent.name for path in PROFILES.glob("*/profile.toml"))


def mail_instances(profile: str) -> list[str]:
    """The instances of a profile that send and receive mail."""
    return sorted(path.parent.name for path in (PROFILES / profile).glob("*/main.cf"))


def open_lab(directory: Path) -> Lab:
    """A lab that was rendered before, with the same ports and passwords. Raises LabError."""
    check_owned(directory)
    try:
        info = json.loads(_read(directory / LAB_FILE))
        accounts = [Account(**entry) for entry in json.loads(_read(directory / CREDENTIALS_FILE))]
    except (OSError, ValueError, TypeError) as error:
        raise LabError(f"{directory}: not a lab that can be started again ({error}); remove it first") from None
    if info["directory"] != str(directory):
        raise LabError(f"{directory} was made as {info['directory']}: a lab cannot be moved; remove it first")
    for name in ("ca", "dns", "log", "var", *info["instances"]):
        if os.path.lexists(directory / name):
            check_owned(directory / name)
    return Lab(directory, info, accounts)


def random_password(_user: str) -> str:
    """A password that is made for this one lab."""
    return "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def render(
    profile: str | Path,
    directory: Path,
    changes: Iterable[tuple[str, str]] = (),
    *,
    names: Mapping[str, str] | None = None,
    password: Callable[[str], str] = random_password,
) -> Lab:
    """Write the files of a profile into `directory` with free ports and fresh passwords.

    `profile`: one that comes with hardmail, by its name, or any other by its directory.
    `changes`: (file, lines) pairs; the lines are appended to that file, where the last value wins.
    `names`: what other placeholders stand for, in the profile's description too. `password`: of a user, by his name.
    Raises LabError.
    """
    source = PROFILES / profile
    names = names or {}
    try:
        text = (source / "profile.toml").read_text()
        description = tomllib.loads(PLACEHOLDER.sub(lambda match: names[match.group(1)], text))
    except OSError:
        raise LabError(f"no profile is called {profile}; there are: {', '.join(profiles())}") from None
    if os.path.lexists(directory):
        check_owned(directory)
    if (directory / LAB_FILE).exists():
        raise LabError(f"{directory}: there is a lab already")
    check_way(directory)
    renderer = _Renderer(source, directory, description)
    renderer.values |= names
    renderer.password = password
    try:
        return renderer.render(list(changes))
    except BaseException as error:
        for reserved in renderer.reserved.values():
            for _, sock in reserved:
                sock.close()
        if isinstance(error, OSError):
            raise LabError(f"{error.filename or directory}: {error.strerror}") from None
        raise


def check_way(directory: Path) -> None:
    """Services that are not root must be able to walk to their files. Raises LabError naming the closed door."""
    if not privileged():
        return
    for parent in directory.absolute().parents:
        if parent.exists() and not parent.stat().st_mode & 0o001:
            raise LabError(f"{parent} lets nobody through (chmod o+x {parent}, or choose another --dir)")


def check_owned(directory: Path) -> None:
    """A lab, and what lies directly in it, must be the present user's alone: its files are read with his rights.

    Raises LabError for a link, and for a directory that another user owns or can write to.
    """
    try:
        status = directory.lstat()
    except OSError as error:
        raise LabError(f"{directory}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise LabError(f"{directory} is not a directory (a link to one does not count); choose another --dir")
    if status.st_uid != os.geteuid():
        raise LabError(f"{directory} belongs to user {status.st_uid}, not to you; choose another --dir")
    if status.st_mode & 0o022:
        raise LabError(f"{directory} can be written to by others (chmod go-w {directory})")


class _Renderer:
    """Renders one lab."""

    def __init__(self, source: Path, directory: Path, description: dict[str, Any]) -> None:
        self.source = source
        self.directory = directory
        self.description = description
        self.reserved: dict[str, Reserved] = {}
        self._ports = _lasting_ports()
        self.values: dict[str, str] = {}
        self.info: dict[str, Any] = {}
        self.accounts: list[Account] = []
        self.password: Callable[[str], str] = random_password
        self.mta = self._user("postfix", "mta")
        self.auth = self._user("dovecot", "auth")
        self.mail = self._user("vmail", "mail")

    @staticmethod
    def _user(name: str, role: str) -> Identity:
        return service_identity(name, explicit=False, role=role, parameter=f"user of the {role}") or myself()

    def render(self, changes: Sequence[tuple[str, str]]) -> Lab:
        """Everything, in an order in which nobody can read a secret too early."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        _make(self.directory, 0o700)
        _make(self.directory / "var", 0o755)
        self.directory.chmod(0o711 if privileged() else 0o700)
        instances: dict[str, Any] = self.description["instances"]
        self._values(instances)
        self._certificates(instances)
        for name, instance in instances.items():
            self._accounts(name, instance)
        for name in instances:
            self._files(name)
        for name, instance in instances.items():
            if "users" in instance:
                self._passwd(name)
        self._apply(changes)
        self._describe(instances)
        return Lab(self.directory, self.info, self.accounts, self.reserved, self.values)

    # -- values ----------------------------------------------------------------------------------------------

    def _values(self, instances: Mapping[str, Any]) -> None:
        """What the placeholders stand for."""
        self.values |= {
            "dir": str(self.directory),
            "log": str(self.directory / "log"),
            "ca_file": str(self.directory / "ca.pem"),
            "domain": self.description["domain"],
            "postfix_user": self.mta.name,
            "postfix_group": _group_name(self.mta.gid),
            "mail_uid": str(self.mail.uid),
            "mail_gid": str(self.mail.gid),
        }
        endpoints: dict[str, dict[str, tuple[str, int]]] = {name: {} for name in instances}
        for name, instance in instances.items():
            for service in [*instance.get("smtp", []), *instance.get("dovecot", [])]:
                also = instance.get("also", []) if service in instance.get("smtp", []) else []
                tag = (
                    "smtps" if service == "submissions" else "smtp" if service in instance.get("smtp", []) else service
                )
                port = self._port(name, [instance["address"], *also], tag)
                endpoints[name][service] = (instance["address"], port)
                self.values[f"{name}.{service}"] = str(port)
            if instance.get("dns"):
                port = self._port(name, [instance["address"]], "dns")
                self.values["dns"] = f"{instance['address']}:{port}"
                self.info["nameserver"] = [instance["address"], port]
            for place in ("queue", "data", "run", "state", "mail"):
                self.values[f"{name}.{place}"] = str(self.directory / "var" / name / place)
            self.values[f"{name}.confdir"] = str(self.directory / name)
            self.values[f"{name}.address"] = instance["address"]
        self.endpoints = endpoints

    def _port(self, instance: str, hosts: Sequence[str], tag: str) -> int:
        """Bind one free port on all these addresses and keep it. IPv6 addresses are left out where there is no IPv6."""
        for port in itertools.islice(self._ports, PORT_ATTEMPTS):
            bound: Reserved = []
            try:
                # Free on every address, since the instance may come to listen on all of them (inet_interfaces = all).
                Sockets.reserve("0.0.0.0", port).close()  # noqa: S104 - nothing listens there
                for host in hosts:
                    for kind, datagram in (("dns-tcp", False), ("dns", True)) if tag == "dns" else ((tag, False),):
                        try:
                            sock = Sockets.reserve(host, port, datagram=datagram)
                        except OSError:
                            if host != hosts[0] and not _usable(host):
                                continue
                            raise
                        bound.append((InetListener(host, port, kind, datagram=datagram), sock))
            except OSError as error:
                for _, sock in bound:
                    sock.close()
                if not bound and error.errno != errno.EADDRINUSE:
                    raise
                continue
            self.reserved.setdefault(instance, []).extend(bound)
            return port
        raise LabError(f"no port is free on {' and '.join(hosts)} at once")

    def _certificates(self, instances: Mapping[str, Any]) -> None:
        from tls.authority import Authority, make_snakeoil

        _make(self.directory / "ca", 0o700)
        authority = Authority.load_or_create(self.directory / "ca")
        _write(self.directory / "ca.pem", authority.certificate_file.read_text(), 0o644)
        self.issued: dict[str, tuple[Path, Path]] = {}
        for name, instance in instances.items():
            made = authority.issue_server([instance["name"], instance["address"]])
            self.issued[name] = (made.certificate_file, made.key_file)
            self.values[f"{name}.certificate"] = str(made.certificate_file)
            self.values[f"{name}.key"] = str(made.key_file)
            snakeoil = make_snakeoil(self.directory / "ca", [instance["name"]])
            self.values[f"{name}.snakeoil"] = str(snakeoil.certificate_file)
            self.values[f"{name}.snakeoil_key"] = str(snakeoil.key_file)

    def _accounts(self, name: str, instance: Mapping[str, Any]) -> None:
        for user in instance.get("users", []):
            password = self.password(user)
            self.accounts.append(Account(user, f"{user}@{instance['domain']}", password, name))
            self.values[f"password.{user}"] = password

    # -- files -----------------------------------------------------------------------------------------------

    def _files(self, name: str) -> None:
        """The configuration directory of one instance. A file with a password in it belongs to the MTA alone."""
        _make(self.directory / "log", 0o755)
        _make(self.directory / name, 0o755)
        for path in sorted((self.source / name).rglob("*")):
            target = self.directory / name / path.relative_to(self.source / name)
            if path.is_dir():
                continue
            text = path.read_text()
            secret = "@{password." in text
            _write(
                target, self._expand(text, name, str(path)), 0o600 if secret else 0o644, self.mta if secret else None
            )
        for path in sorted((self.source / "dns").glob("*")):
            _write(self.directory / "dns" / path.name, self._expand(path.read_text(), name, str(path)), 0o644)

    def _passwd(self, name: str) -> None:
        """passwd-file of the users of one instance, which only the authentication service can read."""
        from nacl.pwhash import argon2id

        hashes = {
            account.name: argon2id.str(account.password.encode(), HASH_PASSES, HASH_KIB << 10).rstrip(b"\0").decode()
            for account in self.accounts
            if account.instance == name
        }
        lines = [f"{user}:{{ARGON2ID}}{text}::::::\n" for user, text in hashes.items()]
        _write(self.directory / name / "users", "".join(lines), 0o600, self.auth)

    def _apply(self, changes: Sequence[tuple[str, str]]) -> None:
        for file, lines in changes:
            target = self.directory / file
            if ".." in Path(file).parts or not target.is_file():
                raise LabError(f"--set {file}: the profile has no such file")
            descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            with open(descriptor, "a", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
                stream.write("\n" + self._expand(lines, file.partition("/")[0], f"--set {file}") + "\n")

    def _expand(self, text: str, instance: str, where: str) -> str:
        """Replace placeholders: @{name}, or @{instance.name} where it belongs to an instance (this one by default)."""

        def value(match: re.Match[str]) -> str:
            for key in (match.group(1), f"{instance}.{match.group(1)}"):
                if key in self.values:
                    return self.values[key]
            raise LabError(f"{where}: unknown placeholder {match.group()}")

        return PLACEHOLDER.sub(value, text)

    def _describe(self, instances: Mapping[str, Any]) -> None:
        self.info |= {
            "directory": str(self.directory),
            "domain": self.description["domain"],
            "ca_file": self.values["ca_file"],
            "log": self.values["log"],
            "instances": {
                name: {
                    "name": instance["name"],
                    "domain": instance["domain"],
                    "address": instance["address"],
                    "confdir": self.values[f"{name}.confdir"],
                    "queue_directory": self.values[f"{name}.queue"],
                    "mail_root": self.values[f"{name}.mail"],
                    "certificate_file": self.values[f"{name}.certificate"],
                    "key_file": self.values[f"{name}.key"],
                    "dns": bool(instance.get("dns")),
                    "endpoints": {service: list(where) for service, where in self.endpoints[name].items()},
                }
                for name, instance in instances.items()
            },
        }
        accounts = [vars(account) for account in self.accounts]
        _write(self.directory / CREDENTIALS_FILE, json.dumps(accounts, indent=1) + "\n", 0o600)
        _write(self.directory / LAB_FILE, json.dumps(self.info, indent=1) + "\n", 0o644)


def _write(path: Path, text: str, mode: int, owner: Identity | None = None) -> None:
    _make(path.parent, 0o755)
    path.unlink(missing_ok=True)  # of a lab that was not finished
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(text)
        if owner is not None and privileged():
            os.fchown(descriptor, owner.uid, owner.gid)
        os.fchmod(descriptor, mode)


def _make(directory: Path, mode: int) -> None:
    """Make a directory, or make sure that the one that stands there is ours alone. Raises LabError."""
    try:
        directory.mkdir(mode=mode)
    except FileExistsError:
        check_owned(directory)


def _read(path: Path) -> str:
    """A file of the lab that nobody else has put there. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:  # noqa: PTH123
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        return file.read()


def _lasting_ports() -> Iterator[int]:
    """A row of ports that the kernel does not give to whoever wants any: they stay free until somebody listens there.

    It begins at one of many places, so that a new laboratory does not take what another uses that is being restarted.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    places = (max(lowest, 2 * FIRST_PORT) - FIRST_PORT) // PORTS_EACH
    return itertools.count(FIRST_PORT + PORTS_EACH * secrets.randbelow(places))


def _usable(host: str) -> bool:
    """Whether this machine has that address at all."""
    try:
        Sockets.reserve(host, 0).close()
    except OSError:
        return False
    return True


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
