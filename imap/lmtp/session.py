"""One LMTP connection: commands and their replies as Dovecot's lmtp gives them, on aiosmtpd's LMTP protocol.

From aiosmtpd come the stream protocol, its time-out and its writing. Its command loop is replaced: it sends the text
of exceptions to the client, keeps limits in class attributes, takes a bare LF for a line end in mail data, and gives
up on pipelined commands when the client closes its side.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiosmtpd.lmtp import LMTP

from auth import wiretap
from imap.lmtp.delivery import Delivery, Origin, Recipient
from imap.lmtp.settings import LmtpSettings
from imap.lmtp.syntax import RECIPIENT_LIMIT, CommandError, parse
from imap.lmtp.transaction import Transaction, session_id, xtext
from imap.lmtp.wire import ConnectionClosed, LineTooLong, Wire
from tls.starttls_asyncio import upgrade_server

log = logging.getLogger("dovecot.lmtp")

LINE_LIMIT = 4096  # octets of a command line; longer ones are answered 500 and thrown away
IDLE_SECONDS = 300.0  # RFC 5321 section 4.5.3.2.7
HANDSHAKE_SECONDS = 30.0
BAD_COMMAND_LIMIT = 10  # Dovecot hangs up at one more command that cannot be taken, in a row
BAD_REPLIES = ("500", "501", "503")
_PRINTABLE = re.compile(rb"[\x20-\x7E\t]*")
_WORD = re.compile(r"[A-Za-z0-9-]*")
_STRING = re.compile(r'[A-Za-z0-9!#$%&\'*+/=?^_`{|}~-]+|"(?:[^"\\]|\\.)*"')  # RFC 5321 section 4.1.2
_CHUNK_SIZE = re.compile(r"([0-9]{1,10})(?: (.*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the command table."""

    handler: Callable[["Session", str], Awaitable[None]]
    argument: bool | None = None  # True: needed, False: forbidden, None: either


class Session(LMTP):
    """A connection. `gone` is called when it is over."""

    def __init__(
        self,
        settings: LmtpSettings,
        delivery: Delivery,
        context: ssl.SSLContext | None,
        gone: Callable[["Session"], None],
    ) -> None:
        super().__init__(handler=object(), hostname=settings.hostname, timeout=IDLE_SECONDS)
        self._settings = settings
        self._delivery = delivery
        self._context = context
        self._gone = gone
        self._wire: Wire
        self._name = ""
        self._id = session_id()
        self._transaction: Transaction | None = None
        self._count = 0
        self._bad = 0
        self._chunk_failed = False  # until RSET or LHLO, as with Dovecot
        self._busy = False
        self._closing = False

    # -- the connection -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What the client says."""
        if wiretap.on():
            wiretap.show(self, data, client=True)
        super().data_received(data)

    def eof_received(self) -> bool | None:
        """Commands that came before the client closed its side are still answered."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over."""
        super().connection_lost(error)
        self._gone(self)

    @property
    def _secured(self) -> bool:
        return self._writer.get_extra_info("sslcontext") is not None

    async def _handle_client(self) -> None:
        """Greet, then command by command."""
        self._wire = Wire(self._reader)
        peer = self._writer.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        log.info("Connect from %s", self._peer or "local")
        try:
            await self.reply(f"220 {self._settings.hostname} {self._settings.greeting}")
            while not self._closing:
                await self._command()
        except (ConnectionClosed, ConnectionError):
            pass
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("session failed")
            self._say(b"421 4.3.0 Internal error occurred.\r\n")
        finally:
            log.info("Disconnect from %s", self._peer or "local")
            self._writer.close()

    async def reply(self, status: str) -> None:
        """Write a reply of one or several lines; one bad command too many is told so instead."""
        if status.startswith(BAD_REPLIES):
            self._bad += 1
            if self._bad > BAD_COMMAND_LIMIT:
                self._closing = True
                status = "421 4.7.0 Too many invalid commands."
        else:
            self._bad = 0
        self._say(status.encode("ascii", "replace") + b"\r\n")
        await self._writer.drain()

    def _say(self, octets: bytes) -> None:
        if wiretap.on():
            wiretap.show(self, octets, client=False)
        self._writer.write(octets)

    def wire_ends(self) -> wiretap.Ends:
        """For `hardmail watch`."""
        peer, own = (self._writer.get_extra_info(end) for end in ("peername", "sockname"))
        return wiretap.Ends("lmtp", wiretap.name(peer), wiretap.name(own), self._secured)

    async def _command(self) -> None:
        try:
            line = await self._wire.line(LINE_LIMIT)
        except LineTooLong:
            line = b"\0"
        self._reset_timeout()
        self._busy = True
        try:
            if not _PRINTABLE.fullmatch(line):
                await self.reply("500 5.5.2 Invalid command syntax")
                return
            word, _, argument = line.decode("ascii").partition(" ")
            row = _COMMANDS.get(word.upper())
            if not _WORD.fullmatch(word) or (word and argument.startswith(" ")):
                await self.reply("500 5.5.2 Invalid command syntax")
            elif row is None:
                await self.reply("500 5.5.1 Unknown command")
            elif row.argument is not None and bool(argument) != row.argument:
                await self.reply("501 5.5.4 Invalid parameters")
            else:
                await row.handler(self, argument)
        except CommandError as error:
            await self.reply(str(error))
        finally:
            self._busy = False
            self._reset_timeout()

    def drain(self) -> None:
        """Shutting down: an idle connection is told so at once, a busy one after its command."""
        self._closing = True
        if not self._busy:
            self._say(b"421 4.3.2 Shutting down\r\n")
            self._writer.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    async def _lhlo(self, argument: str) -> None:
        name = argument.split()
        if not name:
            raise CommandError("501 Missing hostname")
        self._name = name[0]
        self._transaction = None
        self._chunk_failed = False
        words = ["8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING"]
        if self._context is not None and not self._secured:
            words.append("STARTTLS")
        lines = [self._settings.hostname, *words]
        await self.reply("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    async def _mail(self, argument: str) -> None:
        if self._transaction is not None:
            raise CommandError("503 5.5.0 MAIL already given")
        command = parse(argument, "FROM", null_allowed=True)
        for name, value in command.parameters.items():
            if name != "BODY":
                raise CommandError("555 5.5.4 Unsupported parameters")
            if value is None:
                raise CommandError("501 5.5.4 Missing mail BODY type")
            if value.upper() not in ("7BIT", "8BITMIME"):
                raise CommandError("555 5.5.4 Unsupported mail BODY type")
        self._count += 1
        self._transaction = Transaction(command.address, self._count)
        await self.reply("250 2.1.0 OK")

    async def _rcpt(self, argument: str) -> None:
        transaction = self._needed()
        command = parse(argument, "TO", null_allowed=False)
        if set(command.parameters) - {"ORCPT"}:
            raise CommandError("555 5.5.4 Unsupported parameters")
        if len(transaction.recipients) >= RECIPIENT_LIMIT:
            raise CommandError("452 4.5.3 Too many recipients")
        kind, semicolon, original = (command.parameters.get("ORCPT", "rfc822;") or "").partition(";")
        if not kind or not semicolon:
            raise CommandError("501 5.5.4 Invalid ORCPT= parameter: Invalid syntax")
        transaction.recipients.append(await self._delivery.recipient(command.address, xtext(original)))
        await self.reply("250 2.1.5 OK")

    def _needed(self) -> Transaction:
        if self._transaction is None:
            raise CommandError("503 5.5.0 MAIL needed first")
        return self._transaction

    async def _data(self, argument: str) -> None:
        transaction = self._needed()
        if self._chunk_failed or transaction.chunks:
            raise CommandError("503 5.5.0 Previous data chunk failed, issue RSET first")
        if not transaction.recipients:
            raise CommandError("503 5.5.0 No valid recipients")
        await self.reply("354 OK")
        message = await self._wire.dot_data(self._settings.message_size_limit)
        await self._finish(transaction, message)

    async def _bdat(self, argument: str) -> None:
        match = _CHUNK_SIZE.fullmatch(argument.strip())
        if match is None:
            self._chunk_failed = True
            raise CommandError("501 5.5.4 Invalid chunk size parameter")
        size, last = int(match[1]), (match[2] or "").upper() == "LAST"
        if match[2] and not last:
            self._chunk_failed = True
            await self.reply("501 5.5.4 Invalid BDAT parameters")
            await self._wire.chunk(size, 0)  # the client sends it all the same
            return
        transaction = self._transaction
        room = 0
        if transaction is not None and transaction.recipients and not self._chunk_failed:
            room = self._settings.message_size_limit + 1 - len(transaction.data)
        chunk = await self._wire.chunk(size, room)
        if self._chunk_failed:
            raise CommandError("503 5.5.0 Previous data chunk failed, issue RSET first")
        if transaction is None or not transaction.recipients:
            self._chunk_failed = True
            raise CommandError(f"503 5.5.0 {'MAIL needed first' if transaction is None else 'No valid recipients'}")
        transaction.chunks += 1
        transaction.data += chunk
        if not last:
            await self.reply(f"250 2.0.0 Added {size} octets")
            return
        too_large = len(transaction.data) > self._settings.message_size_limit
        await self._finish(transaction, None if too_large else bytes(transaction.data))

    async def _finish(self, transaction: Transaction, message: bytes | None) -> None:
        """One reply per recipient, in the order of RCPT (RFC 2033 section 4.2)."""
        self._transaction = None
        replies: dict[Recipient, str] = {}
        for position, recipient in enumerate(transaction.recipients, 1):
            if recipient in replies:  # named twice, delivered once
                await self.reply(replies[recipient])
                continue
            if message is None:
                await self.reply(f"552 5.3.4 <{recipient.address}> Message size exceeds fixed limit")
                continue
            origin = Origin(
                hostname=self._name or "unknown",
                client=self._peer,
                tls=self._secured,
                session=transaction.part(self._id, position),
                sender=transaction.sender,
            )
            several = len(transaction.recipients) > 1
            replies[recipient] = await self._delivery.deliver(recipient, origin, message, several)
            await self.reply(replies[recipient])
            self._reset_timeout()

    async def _rset(self, argument: str) -> None:
        self._transaction = None
        self._chunk_failed = False
        await self.reply("250 2.0.0 OK")

    async def _noop(self, argument: str) -> None:
        await self.reply("250 2.0.0 OK")

    async def _vrfy(self, argument: str) -> None:
        if not _STRING.fullmatch(argument):
            raise CommandError("501 5.5.4 Invalid parameters")
        await self.reply("252 2.3.3 Try RCPT instead")

    async def _quit(self, argument: str) -> None:
        self._closing = True
        await self.reply("221 2.0.0 Bye")

    async def _xclient(self, argument: str) -> None:
        if self._transaction is not None:
            raise CommandError("503 5.5.0 XCLIENT not permitted during a mail transaction")
        await self.reply("550 5.7.14 You are not from trusted IP")

    async def _auth(self, argument: str) -> None:
        await self.reply("502 5.5.1 Unsupported command")

    async def _starttls(self, argument: str) -> None:
        if self._context is None:
            raise CommandError("502 5.5.1 Unsupported command")
        if self._secured:
            raise CommandError("443 5.5.1 TLS is already active.")
        dropped, go_ahead = self._wire.drop(), b"220 2.0.0 Begin TLS negotiation now.\r\n"
        if wiretap.on():
            wiretap.show(self, go_ahead, client=False)
        dropped += await upgrade_server(
            self._reader,
            self._writer,
            self._context,
            go_ahead=go_ahead,
            timeout=HANDSHAKE_SECONDS,
        )
        self.transport = self._writer.transport  # what aiosmtpd closes on a time-out
        if dropped:
            log.warning("%s: %d octets of plaintext behind STARTTLS dropped", self._peer or "local", dropped)
        self._transaction = None
        self._name = ""


# Which commands there are, and whether they take an argument.
_COMMANDS = {
    "LHLO": Row(Session._lhlo),
    "MAIL": Row(Session._mail),
    "RCPT": Row(Session._rcpt),
    "DATA": Row(Session._data, argument=False),
    "BDAT": Row(Session._bdat),
    "RSET": Row(Session._rset, argument=False),
    "NOOP": Row(Session._noop),
    "VRFY": Row(Session._vrfy, argument=True),
    "QUIT": Row(Session._quit, argument=False),
    "STARTTLS": Row(Session._starttls, argument=False),
    "XCLIENT": Row(Session._xclient),
    "AUTH": Row(Session._auth),
}
