"""dovecot.conf to services: auth, and for each protocol the one service that logs its users in and serves them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from auth.tcpwrap import dovecot as tcpwrap
from lab.errors import PlanError
from lab.plan import processors
from lab.sandbox import python_paths
from lab.sandbox.identity import Identity, UnknownUser, group_id, identity, privileged, service_identity, user_id
from lab.supervisor.listeners import InetListener, Listener, UnixListener
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Directory, Plan, Rules, Service
from lab.wrapped import wrapped

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig
    from auth.dovecotconf import Service as ServiceBlock

ENTRIES = {
    "auth": "auth.service:prepare",
    "auth-worker": "auth.worker.service:prepare",
    "imap": "imap.imap4.service:prepare",
    "pop3": "imap.pop3.service:prepare",
    "lmtp": "imap.lmtp.service:prepare",
}
# None of them installs a reactor: that is done on the event loop of each process.
REACTOR = ("twisted.internet.asyncioreactor", "twisted.internet.ssl", "twisted.internet.tcp", "twisted.internet.unix")

# Dovecot listens for a protocol in its login service; ours does both parts in one process.
LISTENING = {"imap": "imap-login", "pop3": "pop3-login", "lmtp": "lmtp"}

# Seconds that the old auth service may go on answering after a reload: its clients keep connections for ever.
AUTH_RELOAD_SECONDS = 2.0

# Where PAM modules keep their records: pam_faillock, pam_lastlog, pam_systemd.
WRITTEN_BY_PAM = (Path("/run"), Path("/var/run"), Path("/var/log"), Path("/var/lib"))

# `mail_uid`, or uid= among the fields that a userdb gives every user.
UID_FIELD = re.compile(r"^(uid|gid)=(\S+)$")


def load(confdir: Path, name: str) -> Plan:
    """The services of CONFDIR/dovecot.conf. Raises PlanError (every error), UnknownUser."""
    from auth.dovecotconf import ConfigErrors, DovecotConfig
    from auth.service import check

    try:
        config = DovecotConfig.load(confdir / "dovecot.conf")
    except ConfigErrors as error:
        raise PlanError([str(entry) for entry in error.errors]) from None
    reader = _Reader(confdir, name, config)
    reader.errors += [f"{confdir / 'dovecot.conf'}: {line}" for line in check(config)]
    services = reader.services()
    if reader.errors:
        raise PlanError(reader.errors)
    base, state = config.base_dir, config.state_dir
    gid = reader.mail.gid if reader.mail else None
    return Plan(
        confdir=confdir,
        services=tuple(services),
        pid_files=(base / "master.pid",),
        directories=(
            Directory(base, 0o755),
            Directory(state, 0o755),
            Directory(base / "login", 0o750, gid=gid),
            Directory(base / "token-login", 0o750, gid=gid),
            *([Directory(reader.root, 0o700, reader.mail)] if reader.root else []),
        ),
        log=reader.log,
        warnings=lambda: (*config.warnings, *reader.warnings),
    )


class _Reader:
    """Collects services, warnings and errors of one configuration."""

    def __init__(self, confdir: Path, name: str, config: DovecotConfig) -> None:
        self.confdir = confdir
        self.name = name
        self.config = config
        self.errors: list[str] = []
        self.warnings: list[str] = []
        path = config.str("log_path")
        self.log = LogTarget(dovecot_file=Path(path) if path not in ("", "syslog", "/dev/stderr") else None)
        self.mail: Identity | None = None
        self.root: Path | None = None

    def services(self) -> list[Service]:
        """auth and its worker first, then the protocols in the order they are named."""
        protocols = [name for name in self.config.protocols if name in LISTENING]
        for name in self.config.protocols:
            if name not in LISTENING:
                self.warnings.append(f"{self.confdir / 'dovecot.conf'}: protocol {name} is not part of hardmail")
        if protocols:
            self.mail = self._mail_identity()
            self.root = self._mail_root()
        found = [*self._auth_worker(), self._auth(), *(self._protocol(name) for name in protocols)]
        self._default_passwords(found)
        return found

    def _default_passwords(self, services: list[Service]) -> None:
        """A user whose password everybody knows keeps a service that strangers can reach from starting."""
        from auth.settings import AuthSettings
        from auth.wellknown import START_SECONDS, weaknesses

        mode = self.config.str("hardmail_default_passwords")
        hosts = [one.host for each in services for one in each.listeners if isinstance(one, InetListener)]
        reached = not all(ipaddress.ip_address(host).is_loopback for host in hosts)
        if self.errors or not (mode == "refuse" or (mode == "refuse-network" and reached)):
            return
        found = weaknesses(AuthSettings.of(self.config.protocol("auth")), START_SECONDS)
        self.errors += [f"{weakness}; change it, or set hardmail_default_passwords = allow" for weakness in found]

    def _auth_identity(self) -> Identity | None:
        block = self.config.service("auth")
        user = block.user or self.config.str("default_internal_user")
        explicit = block.user_explicit or self.config.is_set("default_internal_user")
        return service_identity(user, explicit=explicit, role="auth", parameter="service auth { user }")

    def _auth(self) -> Service:
        block, who = self.config.service("auth"), self._auth_identity()
        read, written = self._database_paths()
        return Service(
            name="auth",
            entry=ENTRIES["auth"],
            order=0,
            late=python_paths.late_modules(charsets=False),
            config=self.config,
            listeners=tuple(self._listeners("auth", block, who)),
            identity=who,
            rules=Rules(
                read=(*python_paths.SYSTEM, *python_paths.NETWORK, self.confdir, *read),
                write=(self.config.state_dir, *written),
                connect=True,
                landlock=self.config.bool("hardmail_landlock"),
            ),
            log=self.log,
            outlives=True,
            reload_limit=AUTH_RELOAD_SECONDS,
            instance=self.name,
        )

    def _auth_worker(self) -> list[Service]:
        """The process that asks /etc/shadow and PAM, where a passdb or userdb needs them; it keeps what that takes."""
        from auth.worker.service import drivers

        needed = drivers(self.config)
        if not needed:
            return []
        block = self.config.service("auth-worker")
        who = None
        if block.user:
            who = service_identity(block.user, explicit=True, role="auth", parameter="service auth-worker { user }")
        # PAM modules and checkpassword programs are the administrator's choice, and so is what they open.
        foreign = bool(needed & {"pam", "checkpassword"})
        anything = (Path("/"),) if foreign else ()
        return [
            Service(
                name="auth-worker",
                entry=ENTRIES["auth-worker"],
                order=0,
                late=python_paths.late_modules(charsets=False),
                config=self.config,
                listeners=tuple(self._listeners("auth-worker", block, self._auth_identity())),
                identity=who,
                rules=Rules(
                    read=(*python_paths.SYSTEM, *python_paths.NETWORK, Path("/etc")),
                    execute=anything,
                    write=tuple(path for path in WRITTEN_BY_PAM if path.is_dir()) if "pam" in needed else (),
                    connect=foreign,
                    landlock=self.config.bool("hardmail_landlock"),
                ),
                log=self.log,
                outlives=True,
                reload_limit=AUTH_RELOAD_SECONDS,
                instance=self.name,
            )
        ]

    def _protocol(self, name: str) -> Service:
        block = self.config.service(LISTENING[name])
        return Service(
            name=name,
            entry=ENTRIES[name],
            order=1,
            preload=() if name == "lmtp" else REACTOR,
            late=python_paths.late_modules(charsets=name == "imap"),
            config=self.config,
            listeners=tuple(self._listeners(name, block, self.mail)),
            workers=self._workers(block),
            identity=self.mail,
            rules=Rules(
                read=(
                    *python_paths.SYSTEM,
                    *python_paths.NETWORK,
                    self.confdir,
                    *self._wrapped(name),
                    *self._keys(name),
                ),
                write=(self.root,) if self.root else (),
                landlock=self.config.bool("hardmail_landlock"),
            ),
            log=self.log,
            instance=self.name,
        )

    def _keys(self, name: str) -> tuple[Path, ...]:
        """Where LMTP finds the keys that it encrypts to."""
        from imap.config import static_prefix

        template = self.config.str("hardmail_openpgp_key")
        return (Path(static_prefix(template)),) if name == "lmtp" and template.startswith("/") else ()

    def _wrapped(self, name: str) -> tuple[Path, ...]:
        """What hosts.allow and hosts.deny need in front of a log-in service."""
        if name == "lmtp":
            return ()
        try:
            paths, problems = wrapped(*tcpwrap.names(self.config.protocol(name)))
        except ValueError as error:
            self.errors.append(f"{self.confdir / 'dovecot.conf'}: {error}")
            return ()
        self.warnings += [problem for problem in problems if problem not in self.warnings]
        return paths

    @staticmethod
    def _workers(block: ServiceBlock) -> int:
        """process_limit where it is set, never more than one per processor: a worker serves many clients at once."""
        limit = block.process_limit
        return min(limit, processors()) if limit > 0 else processors()

    # -- listeners -------------------------------------------------------------------------------------------

    def _listeners(self, service: str, block: ServiceBlock, who: Identity | None) -> list[Listener]:
        from auth.dovecotconf.services import UnixListener as UnixBlock

        listeners: list[Listener] = []
        for listener in block.listeners:
            if not isinstance(listener, UnixBlock):
                tag = listener.tag if service != "auth" else "auth-client"
                listeners.append(InetListener(listener.address, listener.port, tag, dict(listener.options)))
                continue
            if listener.fifo:
                continue
            uid = gid = -1
            if privileged():
                uid = self._number(listener.user, listener.user_explicit, who, user_id, f"{listener.path}: user")
                gid = self._number(listener.group, listener.group_explicit, who, group_id, f"{listener.path}: group")
                if listener.path.name == "auth-master" and not listener.user_explicit and self.mail is not None:
                    uid = self.mail.uid  # IMAP and POP3, which ask here for finished log-ins, are not root
            listeners.append(
                UnixListener(Path(listener.path), listener.mode, listener.tag, uid, gid, options=dict(listener.options))
            )
        return listeners

    def _number(self, name: str, explicit: bool, who: Identity | None, look_up: Callable[[str], int], what: str) -> int:
        """The number of a listener's user or group; a default name that the machine lacks is the service's own."""
        if not name:
            return 0
        try:
            return look_up(name)
        except UnknownUser as error:
            if explicit:
                self.errors.append(f"{self.confdir / 'dovecot.conf'}: {what} = {name}: {error}")
            return who.uid if who else -1

    # -- users and paths -------------------------------------------------------------------------------------

    def _mail_identity(self) -> Identity | None:
        """The one user that all mail belongs to: mail_uid, or the uid that the userdb gives every user."""
        if not privileged():
            return None
        fields = self._userdb_fields()
        uid = self.config.str("mail_uid") or fields.get("uid", "")
        gid = self.config.str("mail_gid") or fields.get("gid", "")
        if not uid:
            return service_identity("vmail", explicit=False, role="mail", parameter="mail_uid")
        who = identity(uid, gid or None)
        if who.uid == 0:
            self.warnings.append("mail_uid: mail is never handled as root; the user mail stands in")
            return service_identity("mail", explicit=True, role="mail", parameter="mail_uid")
        return who

    def _userdb_fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for block in self.config.blocks("userdb"):
            for source in (block.str("args"), block.str("default_fields"), block.str("override_fields")):
                for word in source.split():
                    match = UID_FIELD.match(word)
                    if match and "%" not in match.group(2):
                        fields.setdefault(match.group(1), match.group(2))
        return fields

    def _mail_root(self) -> Path | None:
        """The one tree that holds all mail; the services that serve it can write nothing else."""
        from imap.config import MailSettings

        try:
            return MailSettings.from_config(self.config).mail_root
        except ValueError as error:
            self.errors.append(f"{self.confdir / 'dovecot.conf'}: {error}")
            return None

    def _database_paths(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """The files that passdbs and userdbs read; the directory, so that a file put in place anew is seen. And the
        directories of SQLite files that one-time passwords are stored in: it has its journal there."""
        from auth.databases import BadArguments
        from auth.service import files

        try:
            paths, written = files(self.config)
        except BadArguments:
            return (), ()  # told already
        found: dict[Path, None] = {}
        for path in dict.fromkeys([*paths, *(path.resolve() for path in paths)]):
            if path.is_dir():
                found.setdefault(path)
            elif path.parent.is_dir() and path.parent != Path("/etc"):
                found.setdefault(path.parent)
            elif path.is_file():
                found.setdefault(path)
        return tuple(found), tuple(dict.fromkeys(path.parent for path in written if path.parent.is_dir()))
