"""saslauthd(8): checks passwords for programs of Cyrus SASL, over a unix socket in a directory only they may enter."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import getopt
import logging
import os
import pwd
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from auth import worker
from auth.authenticator import Authenticator
from auth.databases import BadArguments
from auth.protocol import Parameters
from auth.request import AuthRequest, BadUsername
from auth.results import Result
from auth.settings import AuthSettings
from auth.worker import service as worker_service

from . import backends, mux
from .directory import CannotStart, open_directory
from .sasldb import DEFAULT_PATH

log = logging.getLogger("saslauthd")

DIRECTORY = Path("/run/saslauthd")
CONNECTIONS_MAX = 256
"""Connections at once; others wait in the kernel's queue."""
REQUEST_SECONDS = 30.0
"""Seconds for a request to arrive, and for the client to hang up after the answer."""
UNPRIVILEGED = ("saslauth", "daemon", "nobody")
"""Whom the process becomes once only its worker needs root: the first of them that the machine has."""

USAGE = """\
usage: saslauthd -a authmech [-O option] [-m directory] [-cdrV] [-t seconds]

  -a  authentication mechanism: {mechanisms}
  -O  for passwd-file, sasldb, sql and ldap: the file
  -m  directory of the socket `mux` (default {directory}); whoever may enter it may ask for passwords
  -r  ask for login@realm
  -c  remember good passwords, -t so many seconds (default 28800)
  -d, -V  log each request; it stays in the foreground either way

example: hardmail saslauthd -a pam -m /run/saslauthd
"""


@dataclasses.dataclass
class Options:
    """The command line."""

    mechanism: str = ""
    option: str = ""
    directory: Path = DIRECTORY
    realm_in_login: bool = False
    cache: bool = False
    cache_seconds: float = 28800.0
    verbose: bool = False


def usage() -> str:
    """The help text."""
    return USAGE.format(mechanisms=" ".join(sorted(backends.DRIVERS)), directory=DIRECTORY)


def options_of(argv: list[str]) -> Options | None:
    """Read the command line; None for ``-h``. Raises CannotStart, getopt.GetoptError."""
    found = Options()
    flags, rest = getopt.getopt(argv, "a:cdfhlm:n:O:rs:t:TvV", ["help"])
    for flag, value in flags:
        match flag:
            case "-h" | "--help" | "-v":
                return None
            case "-a":
                found.mechanism = value
            case "-O":
                found.option = value
            case "-m":
                found.directory = Path(value)
            case "-r":
                found.realm_in_login = True
            case "-c":
                found.cache = True
            case "-t":
                if not value.isascii() or not value.isdigit() or len(value) > 9:
                    raise CannotStart(f"-t {value}: not a number of seconds")
                found.cache_seconds = float(value)
            case "-d" | "-V":
                found.verbose = True
    if rest:
        raise CannotStart(f"unknown argument: {rest[0]}")
    _check_mechanism(found)
    return found


def _check_mechanism(found: Options) -> None:
    name = found.mechanism
    if not name:
        raise CannotStart("no authentication mechanism specified: name one with -a")
    if name in backends.NOT_OFFERED:
        raise CannotStart(f"-a {name} is not offered: {backends.NOT_OFFERED[name]}")
    if name not in backends.DRIVERS:
        raise CannotStart(f"unknown authentication mechanism: {name} (known: {', '.join(sorted(backends.DRIVERS))})")
    if name == "sasldb":
        found.option = found.option or str(DEFAULT_PATH)
    if backends.DRIVERS[name][1] == "{option}" and not found.option:
        raise CannotStart(f"-a {name} needs -O FILE")


@dataclasses.dataclass(frozen=True)
class Needs:
    """What the process that hears strangers needs: the user it becomes, files to read and to write, the network."""

    user: pwd.struct_passwd | None
    read: Sequence[Path]
    write: Sequence[Path]
    network: bool


def become(needs: Needs) -> None:
    """Give up what can be given up everywhere: root."""
    if needs.user is not None:
        worker_service.become(needs.user)


Confine = Callable[[Needs], None]


def main(argv: list[str], confine: Confine = become) -> int:
    """Run saslauthd in the foreground until SIGTERM or SIGINT; exit status 1 when it cannot start."""
    logging.basicConfig(format="saslauthd[%(process)d]: %(message)s", level=logging.INFO)
    try:
        options = options_of(argv)
        if options is None:
            print(usage(), end="")
            return 0
        _run(options, confine)
    except getopt.GetoptError as error:
        print(f"saslauthd: {error.msg}\n{usage()}", end="", file=sys.stderr)
        return 1
    except (CannotStart, BadArguments) as error:
        print(f"saslauthd: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: Options, confine: Confine) -> None:
    driver, template = backends.DRIVERS[options.mechanism]
    listener, lock = open_directory(options.directory)
    try:
        settings = backends.settings([backends.passdb(driver, template.format(option=options.option))])
        if driver in worker.DRIVERS:
            _apart(options, settings, listener, confine)
        else:
            _serve(options, settings, listener, confine)
    finally:
        listener.close()
        (options.directory / mux.SOCKET).unlink(missing_ok=True)
        os.close(lock)


def _serve(
    options: Options,
    settings: AuthSettings,
    listener: socket.socket,
    confine: Confine,
    user: pwd.struct_passwd | None = None,
) -> None:
    octets = 1 << 20 if options.cache else 0
    authenticator = backends.authenticator(settings, octets, options.cache_seconds)
    confine(Needs(user, authenticator.files(), [options.directory], options.mechanism in ("sql", "ldap")))
    asyncio.run(_Server(options, authenticator).serve(listener))


def _apart(options: Options, settings: AuthSettings, listener: socket.socket, confine: Confine) -> None:
    """Two processes: the worker keeps root for what needs it; the one that hears strangers gives it up."""
    who = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="saslauthd-") as name, socket.socket(socket.AF_UNIX) as own:
        directory = Path(name)
        own.bind(str(directory / worker.SOCKET))
        own.listen(64)
        own.setblocking(False)
        if who is not None:
            for path in (directory / worker.SOCKET, directory):
                os.chown(path, who.pw_uid, who.pw_gid)

        def serve() -> None:
            _serve(options, dataclasses.replace(settings, base_dir=directory), listener, confine, who)

        drivers = frozenset({passdb.driver for passdb in settings.passdbs})
        children = [worker_service.fork(lambda: worker_service.run(own, drivers)), worker_service.fork(serve)]

        def stop(*_: object) -> None:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        os.wait()  # the first that ends is missed by the other
        stop()
        with contextlib.suppress(ChildProcessError):
            os.wait()


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in UNPRIVILEGED if name in known), None)


class _Server:
    """The connections of one saslauthd."""

    def __init__(self, options: Options, authenticator: Authenticator) -> None:
        self._options = options
        self._authenticator = authenticator
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)

    async def serve(self, listener: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = await asyncio.start_unix_server(self._connected, sock=listener)
        log.info("listening on %s, mechanism %s", self._options.directory / mux.SOCKET, self._options.mechanism)
        await stop.wait()
        server.close()
        self._authenticator.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._free:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await self._read(reader)
                if request is not None:
                    writer.write(mux.counted(await self.answer(request)))
                    writer.write_eof()
                    # Until the client hangs up: closing on octets unread would take the answer back.
                    async with asyncio.timeout(REQUEST_SECONDS):
                        while await reader.read(4096):
                            pass
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> mux.Request | None:
        data = b""
        while chunk := await reader.read(4096):
            data += chunk
            try:
                if request := mux.parse(data):
                    return request
            except mux.MuxError as error:
                log.error("%s", error)
                return mux.Request(b"", b"")
        return None

    async def answer(self, request: mux.Request) -> bytes:
        """OK, or NO with a reason that tells nothing of the user."""
        if not request.login or not request.password:
            return b"NO NULL login or password received"
        login, realm = (part.decode("utf-8", "surrogateescape") for part in (request.login, request.realm))
        service = request.service.decode("ascii", "replace")
        full = self._options.realm_in_login or self._options.mechanism == "sasldb"
        name = f"{login}@{realm}" if full and realm else login
        parameters = Parameters(service=service, rip=request.address.decode("ascii", "replace"), secured="secured")
        auth = AuthRequest(self._authenticator.settings, parameters, "PLAIN")
        try:
            auth.set_user(name)
            result = await self._authenticator.verify(auth, request.password)
        except BadUsername:
            result = Result.UNKNOWN
        good = result is Result.OK and not auth.failed and "nologin" not in auth.extra
        level = logging.DEBUG if good and not self._options.verbose else logging.INFO
        log.log(
            level,
            "auth %s: [user=%s] [service=%s] [realm=%s] [mech=%s]",
            "success" if good else "failure",
            *("".join(char if char.isprintable() else "?" for char in text) for text in (login, service, realm)),
            self._options.mechanism,
        )
        return b"OK" if good else b"NO authentication failed"
