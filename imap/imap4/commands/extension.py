"""Small extensions: ENABLE (RFC 5161), ID (RFC 2971), IDLE (RFC 2177), NAMESPACE (RFC 2342)."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap.imap4 import notify
from imap.imap4.arguments import Arguments, Atom, Group
from imap.imap4.commands.base import ANY_STATE, LOGGED_IN, Command, Flush, Reply
from imap.imap4.commands.message import enable_condstore
from imap.imap4.errors import Bad, No
from imap.imap4.syntax import nstring, string
from imap.store import NamespaceInfo, Watch

if TYPE_CHECKING:
    from imap.imap4.session import Session
    from imap.imap4.view import View

# A client that idles is told something at least this often, so that a dead connection is noticed.
STILL_HERE = 120.0


_MODSEQ = ("CONDSTORE", "QRESYNC")
# Forms of the protocol that Dovecot 2.3 does not have (RFC 6855, RFC 9051), as they are written.
_FORMS = {"UTF8=ACCEPT": "UTF8=ACCEPT", "IMAP4REV2": "IMAP4rev2"}


class Enable(Command):
    """ENABLE capability ..."""

    name = "ENABLE"
    states = ANY_STATE

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not session.logged_in:
            session.write(b"* ENABLED\r\n")  # nothing can be enabled yet
            return Reply("Enabled.")
        known: list[str] = []
        while arguments.more():
            word = arguments.word()
            if (word in _MODSEQ or (session.settings.extensions and word in _FORMS)) and word not in known:
                known.append(word)
        if not known:
            return Reply("Enabled.")
        session.write(" ".join(["* ENABLED", *(_FORMS.get(word, word) for word in known)]).encode() + b"\r\n")
        session.enabled |= set(known)
        view = session.view
        if view is not None:
            view.qresync = "QRESYNC" in session.enabled
            view.rev2 = session.rev2
        if not {*_MODSEQ}.isdisjoint(known):
            session.enabled.add("CONDSTORE")
            if view is not None:
                enable_condstore(session, view)
        return Reply("Enabled.")


class Id(Command):
    """ID: tells what ``imap_id_send`` allows."""

    name = "ID"
    states = ANY_STATE

    def run(self, session: Session, arguments: Arguments) -> Reply:
        given = arguments.peek()
        pairs = given if isinstance(given, Group) else []
        if not isinstance(given, Group | None) and given.upper() != b"NIL":
            raise Bad("Invalid ID parameters")
        if any(isinstance(item, Group) or (isinstance(item, Atom) and item.upper() != b"NIL") for item in pairs):
            raise Bad("Invalid ID parameters")
        session.write(b"* ID " + identification(session.settings.id_send) + b"\r\n")
        return Reply("ID completed.")


def identification(setting: str) -> bytes:
    """The list for ``imap_id_send``: pairs of name and value, ``*`` for the default value, NIL for none."""
    words = _words(setting)
    defaults = {"name": "hardmail", "os": platform.system(), "os-version": platform.release()}
    pairs: list[bytes] = []
    for name, value in zip(words[::2], words[1::2], strict=False):
        if name is None:
            continue
        if value == "*":
            value = defaults.get(name.lower())
        pairs.append(string(name.encode()) + b" " + nstring(value.encode() if value is not None else None))
    return b"(" + b" ".join(pairs) + b")" if pairs else b"NIL"


def _words(setting: str) -> Sequence[str | None]:
    from imap.imap4 import arguments as syntax

    items = syntax.parse((setting.encode(),), 0)
    words: list[str | None] = []
    for item in items:
        if isinstance(item, syntax.Group):
            continue
        words.append(None if isinstance(item, syntax.Atom) and item.upper() == b"NIL" else item.decode())
    return words


class Namespace(Command):
    """NAMESPACE: personal, other users', shared."""

    name = "NAMESPACE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        assert session.store is not None
        kinds = ("private", "shared", "public")
        lists = [
            _namespaces([each for each in session.store.namespaces if each.kind == kind and not each.hidden])
            for kind in kinds
        ]
        session.write(b"* NAMESPACE " + b" ".join(lists) + b"\r\n")
        return Reply("Namespace completed.")


def _namespaces(infos: Sequence[NamespaceInfo]) -> bytes:
    if not infos:
        return b"NIL"
    # A shared namespace is told by what stands before the name of the user in it.
    pairs = (
        b"(%b %b)" % (string(each.prefix.partition("%")[0].encode()), string(each.separator.encode())) for each in infos
    )
    return b"(" + b"".join(pairs) + b")"


class Idle(Command):
    """IDLE: news at once, until DONE."""

    name = "IDLE"
    states = LOGGED_IN
    breaks_mailbox = True

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        session.write(b"+ idling\r\n")
        with contextlib.ExitStack() as cleanup:
            view = session.view
            if view is not None:
                watch = view.mailbox.watch()
                cleanup.callback(watch.close)
                session.tell_news(view)  # what came before the watch began
                view.mailbox.rest()
                _follow(session, view, watch, cleanup)
            session.flush()
            line = await session.read_line()
        if line.upper() != b"DONE":
            raise Bad("Expected DONE.")
        return Reply("Idle completed.")


def _follow(session: Session, view: View, watch: Watch, cleanup: contextlib.ExitStack) -> None:
    """Tell news whenever the watch reports a change, and now and then that the server is still here."""
    loop = asyncio.get_running_loop()
    descriptor = watch.fileno()
    interval = session.settings.idle_notify or STILL_HERE

    def changed() -> None:
        watch.drain()
        session.tell_news(view)
        view.mailbox.rest()

    async def still_here() -> None:
        while True:
            await asyncio.sleep(interval)
            session.write(b"* OK Still here\r\n")
            session.flush()

    loop.add_reader(descriptor, session.guard, changed)
    cleanup.callback(loop.remove_reader, descriptor)
    cleanup.callback(loop.create_task(still_here()).cancel)


class NotifyCommand(Command):
    """NOTIFY NONE | SET [STATUS] (mailboxes events) ... (RFC 5465)."""

    name = "NOTIFY"
    flush = Flush.ALL

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not arguments.more():
            raise Bad("Invalid arguments.")
        wanted = notify.read(arguments, session.utf8)
        if wanted is not None and wanted.uses_modseq:
            session.enabled.add("CONDSTORE")
            if session.view is not None:
                enable_condstore(session, session.view)
        session.notify(wanted)
        return Reply("NOTIFY completed.")


class Compress(Command):
    """COMPRESS DEFLATE (RFC 4978), where the imap_zlib plugin is on."""

    name = "COMPRESS"
    breaks_mailbox = True

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not session.settings.compress:
            raise Bad("Unknown command")
        mechanism = arguments.word()
        arguments.end()
        if session.compressed:
            raise No("COMPRESSIONACTIVE already active.", "COMPRESSIONACTIVE")
        if mechanism != "DEFLATE":
            raise No("Unknown compression mechanism.")
        return Reply("Begin compression.", compress=True)
