"""From a recipient's address to a durable file in his mailbox: user lookup, delivery headers, the mailbox chosen."""

import asyncio
import email.utils
import logging
from dataclasses import dataclass, field

from auth.client import AuthFailed, AuthUnavailable, MasterClient
from imap.config import MailSettings
from imap.lmtp import openpgp
from imap.lmtp.settings import LmtpSettings
from imap.lmtp.syntax import Address, CommandError
from imap.store import AlreadyExists, MailRoot, NewMail, NonExistent, OverQuota, StoreError, UserStore

log = logging.getLogger("dovecot.lmtp")

_MESSAGE_ID_LIMIT = 998  # a longer one is not logged


@dataclass(frozen=True, slots=True)
class Recipient:
    """An accepted recipient: his address, the user it is, and the detail behind the delimiter ("" if none)."""

    address: Address
    original: str  # ORCPT, "" if not given
    detail: str
    username: str
    fields: dict[str, str] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a mail comes from, for its Received header."""

    hostname: str  # LHLO
    client: str  # address of the client, "" on a unix socket
    tls: bool
    session: str
    sender: Address


class Delivery:
    """Looks recipients up and puts mails into their mailboxes."""

    def __init__(self, settings: LmtpSettings, mail: MailSettings, root: MailRoot, users: MasterClient) -> None:
        self._settings = settings
        self._mail = mail
        self._root = root
        self._users = users

    async def recipient(self, address: Address, original: str) -> Recipient:
        """Find the user of an address. Raises CommandError with the reply for RCPT."""
        local, detail = _split_detail(address.local, self._settings.recipient_delimiter)
        name = Address(local, address.domain).username
        try:
            found = await self._users.user(name, service="lmtp")
        except (AuthFailed, AuthUnavailable) as error:
            log.error("userdb lookup for %s: %s", name, error)
            raise CommandError(f"451 4.3.0 <{address}> Temporary internal error") from error
        if found is None:
            raise CommandError(f"550 5.1.1 <{address}> User doesn't exist: {name}")
        recipient = Recipient(address, original, detail, found.user, dict(found.fields))
        if self._settings.check_quota_at_rcpt:
            await self._check_quota(recipient)
        return recipient

    async def _check_quota(self, recipient: Recipient) -> None:
        """Refuse a recipient whose mailbox is full already. Raises CommandError."""

        def check() -> None:
            with self._mail.user_store(self._root, recipient.username, recipient.fields) as store:
                store.admit("INBOX", 0, 1, delivery=True)

        try:
            await asyncio.to_thread(check)
        except OverQuota as error:
            raise CommandError(f"552 5.2.2 <{recipient.address}> {error.text}") from error
        except StoreError as error:
            log.error("lmtp(%s): quota: %s", recipient.username, error.reason or error)
            raise CommandError(f"451 4.3.0 <{recipient.address}> Temporary internal error") from error

    async def deliver(self, recipient: Recipient, origin: Origin, message: bytes, several: bool) -> str:
        """Store a mail; returns the reply. The mail is durable before a 250."""
        headers = self._headers(recipient, origin, several)
        try:
            mailbox = await asyncio.to_thread(self._store, recipient, headers, message)
        except openpgp.CannotEncrypt as error:
            log.error("lmtp(%s)<%s>: cannot encrypt: %s", recipient.username, origin.session, error)
            return f"451 4.3.5 <{recipient.address}> Mail cannot be encrypted now"
        except OverQuota as error:
            log.info(
                "lmtp(%s)<%s>: %s: save failed to INBOX: %s", recipient.username, origin.session, _id(message), error
            )
            return f"552 5.2.2 <{recipient.address}> {error.text}"
        except StoreError as error:
            log.error("lmtp(%s)<%s>: save failed: %s", recipient.username, origin.session, error.reason or error)
            return f"451 4.2.0 <{recipient.address}> Temporary internal error"
        log.info("lmtp(%s)<%s>: %s: saved mail to %s", recipient.username, origin.session, _id(message), mailbox)
        return f"250 2.0.0 <{recipient.address}> {origin.session} Saved"

    def _store(self, recipient: Recipient, headers: bytes, message: bytes) -> str:
        """Runs in a thread: encrypt, open the user's store and deliver; returns the mailbox's name."""
        key = self._mail.openpgp_key_file(recipient.username, recipient.fields)
        if key is not None:
            message = openpgp.seal(message, openpgp.read_key(key))
        data = headers + message
        with self._mail.user_store(self._root, recipient.username, recipient.fields) as store:
            name = recipient.detail if self._settings.save_to_detail_mailbox else ""
            if name and name.upper() != "INBOX":
                try:
                    self._prepare_mailbox(store, name)
                    store.deliver(name, NewMail(data))
                    return name
                except OverQuota:
                    raise
                except StoreError as error:
                    log.info("lmtp(%s): save failed to open mailbox %s: %s", recipient.username, name, error)
            store.deliver("INBOX", NewMail(data))
            return "INBOX"

    def _prepare_mailbox(self, store: UserStore, name: str) -> None:
        if store.exists(name):
            return
        if not self._settings.mailbox_autocreate:
            raise NonExistent(name)
        try:
            store.create(name)
        except AlreadyExists:
            return  # another delivery was faster
        if self._settings.mailbox_autosubscribe:
            store.subscribe(name)

    def _headers(self, recipient: Recipient, origin: Origin, several: bool) -> bytes:
        """Return-Path, Delivered-To and Received, as Dovecot puts them before the mail."""
        lines = [f"Return-Path: <{origin.sender}>"]
        address = {"final": str(recipient.address), "original": recipient.original}.get(
            self._settings.delivery_address, ""
        )
        if address and not several:  # the other recipients are none of this one's business
            lines.append(f"Delivered-To: {address}")
        if self._settings.add_received_header:
            lines += self._received(recipient, origin, several)
        return "".join(line + "\r\n" for line in lines).encode("ascii", "replace")

    def _received(self, recipient: Recipient, origin: Origin, several: bool) -> list[str]:
        client = f" ([{origin.client}])" if origin.client else ""
        date = email.utils.formatdate(localtime=True)
        lines = [
            f"Received: from {origin.hostname}{client}",
            f"\tby {self._settings.hostname} with LMTP{'S' if origin.tls else ''}",
            f"\tid {origin.session}",
            f"\t(envelope-from <{origin.sender}>)",
        ]
        if several:
            lines[-1] += f"; {date}"
        else:
            lines.append(f"\tfor <{recipient.address}>; {date}")
        return lines


def _split_detail(local: str, delimiters: str) -> tuple[str, str]:
    """(user, detail): at the first of the delimiter characters, which is not at the beginning."""
    found = [position for char in delimiters if (position := local.find(char)) > 0]
    if not found:
        return local, ""
    return local[: min(found)], local[min(found) + 1 :]


def _id(message: bytes) -> str:
    """ "msgid=<...>" for the log."""
    head = message[: 64 * 1024].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for line in head.split(b"\n"):
        if line[:11].lower() == b"message-id:" and len(line) < _MESSAGE_ID_LIMIT:
            text = line[11:].decode("ascii", "replace").strip()
            return "msgid=" + "".join(char if char.isprintable() else "?" for char in text)
    return "msgid=unspecified"
