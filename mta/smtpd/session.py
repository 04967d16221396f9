"""What the server knows of one client (Session) and of one mail transaction (Transaction)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from aiosmtpd import smtp as aiosmtpd

from mta.milter import Chain
from mta.queue import Notify, Recipient
from mta.smtpd.replies import Reply
from mta.smtpd.spool import Spool

if TYPE_CHECKING:
    from tls import description

UNKNOWN = "unknown"


class NameStatus(Enum):
    """How the lookup of a client's name ended; decides between 4xx and 5xx in reject_unknown_client_hostname."""

    FOUND = "found"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    FORGED = "forged"
    """There is a name, but it does not lead back to the address."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected, with the names that DNS gives to the address."""

    address: str
    """Numeric; IPv4 addresses never in their IPv6-mapped form."""
    port: int = 0
    name: str = UNKNOWN
    """The name that was confirmed by a forward lookup, or `unknown`."""
    reverse_name: str = UNKNOWN
    """The name in the PTR record, confirmed or not, or `unknown`."""
    name_status: NameStatus = NameStatus.FOUND
    reverse_status: NameStatus = NameStatus.FOUND
    logs_port: bool = False
    """smtpd_client_port_logging"""

    @property
    def label(self) -> str:
        """`name[address]`, as the log and many replies call the client."""
        label = f"{self.name}[{self.address}]"
        return f"{label}:{self.port}" if self.logs_port else label

    @property
    def literal(self) -> str:
        """The address as RFC 5321 section 4.1.3 writes it in a trace header: `IPv6:` in front of IPv6."""
        return f"IPv6:{self.address}" if ":" in self.address else self.address


@dataclass(frozen=True, slots=True)
class Tls:
    """What a session's TLS handshake agreed, and what access policy asks about it."""

    agreed: description.Session
    certificate_requested: bool = False
    """smtpd_tls_ask_ccert or smtpd_tls_req_ccert."""
    fingerprint: str = ""
    """Of the client's certificate, and of its public key; empty without one (smtpd_tls_fingerprint_digest)."""
    public_key_fingerprint: str = ""
    binding: Callable[[str], bytes | None] = lambda kind: None
    """Channel binding data of a kind: ``tls-exporter`` in TLS 1.3, ``tls-unique`` before it."""

    @classmethod
    def describe(cls, ssl_object: ssl.SSLObject, certificate_requested: bool, digest: str) -> Tls:
        from tls.description import describe  # with cryptography behind it: for those who have TLS

        agreed = describe(ssl_object)
        certificate, key = agreed.certificate_fingerprint(digest), agreed.public_key_fingerprint(digest)
        return cls(agreed, certificate_requested, certificate, key, ssl_object.get_channel_binding)


class Session(aiosmtpd.Session):
    """One client connection. aiosmtpd's session with what smtpd(8) remembers between transactions.

    What begins the same in every session stands in the class: a new one costs next to nothing.
    """

    protocol = "SMTP"
    tls: Tls | None = None
    sasl_method = ""
    sasl_username = ""
    errors = 0
    junk_commands = 0
    discarded_keywords: frozenset[str] = frozenset()
    stress = ""
    """The parameter of this name when the session began."""
    denied: Reply | None = None
    """Set where the client was refused before its first command."""
    command = "CONNECT"
    """The command that is being worked on, for the log."""
    deferred_client: Reply | None = None
    deferred_helo: Reply | None = None
    deferred_sender: Reply | None = None
    in_mynetworks: bool | None = None
    """None until somebody asks."""
    strict_newlines = False
    """smtpd_forbid_bare_newline applies to this client."""
    unlimited = False
    """smtpd_client_event_limit_exceptions names this client."""
    improper_pipelining = False
    """The client sent more without waiting where RFC 2920 makes it wait."""
    counted = False
    """The connection counts against the client's limits until it ends."""
    hung_up = False
    screened_out: Reply | None = None
    """The greet test or a deny list refuses this client's recipients."""
    may_xclient = False
    may_xforward = False
    filters: Chain | None = None
    """smtpd_milters in this session."""
    filter_refusal: Reply | None = None
    """A filter refused the client or its HELO; it is told at commands that count."""
    filter_hold = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        port: int,
        local: tuple[str, int],
        *,
        logs_port: bool = False,
    ) -> None:
        super().__init__(loop)
        self.peer_info = Peer(address, port, logs_port=logs_port)
        self.local = local
        """Address and port that the client connected to."""
        self.began = loop.time()
        self.counts: dict[str, list[int]] = {}
        """Commands given and commands that succeeded, for the line at disconnect."""
        self.forwarded: dict[str, str] = {}
        """What XFORWARD tells of the client behind this one."""
        self.filter_macros: dict[str, str] = {}

    @property
    def instance(self) -> str:
        """A name that no other session of the process has (SMTPD_POLICY_README)."""
        return f"{self.began:.6f}.{id(self):x}"

    @property
    def helo_name(self) -> str | None:
        return self.host_name

    @property
    def label(self) -> str:
        return self.peer_info.label

    @property
    def is_esmtp(self) -> bool:
        return self.protocol == "ESMTP"

    @property
    def with_protocol(self) -> str:
        """The protocol in the Received header: RFC 3848 adds A for authenticated and S for encrypted sessions."""
        if not self.is_esmtp:
            return self.protocol
        return "ESMTP" + ("S" if self.tls else "") + ("A" if self.sasl_username else "")

    def forget_handshake_state(self) -> None:
        """RFC 3207 section 4.2: after STARTTLS the server knows nothing of what was said before."""
        self.host_name = None
        self.extended_smtp = False
        self.protocol = "SMTP"
        self.sasl_method = self.sasl_username = ""


@dataclass(slots=True)
class Actions:
    """What access tables and policy servers asked for, beside accepting or refusing (access(5))."""

    hold: bool = False
    discard: bool = False
    filter: str = ""
    redirect: str = ""
    bcc: list[str] = field(default_factory=list)
    prepend: list[str] = field(default_factory=list)


class Transaction(aiosmtpd.Envelope):
    """One mail transaction, from MAIL to the end of its content. `mail_from` is None before MAIL."""

    queue_id = ""
    size = 0
    """SIZE= of MAIL FROM; 0 if not told."""
    body = ""
    ret = ""
    envid = ""
    sasl_sender = ""
    trace = b""
    """Our Received header for this message."""
    overshoot = 0
    recipient_list_checked = False
    sender_list_checked = False
    chunks: Spool | None = None
    """Content given by BDAT so far; None outside BDAT."""
    chunk_failed: Reply | None = None
    refused_at_end = False
    """smtpd_end_of_data_restrictions refused the content."""

    def __init__(self) -> None:
        super().__init__()
        self.recipients: list[Recipient] = []
        self.actions = Actions()

    def after_refusal_at_end(self) -> Transaction:
        """What smtpd(8) leaves of a transaction that end-of-data restrictions refused: MAIL stands, until RSET."""
        left = Transaction()
        left.mail_from, left.smtp_utf8 = self.mail_from, self.smtp_utf8
        left.size, left.body, left.ret, left.envid = self.size, self.body, self.ret, self.envid
        left.sasl_sender = self.sasl_sender
        left.chunks = self.chunks
        return left

    def close(self) -> None:
        """Let go of the content."""
        if self.chunks is not None:
            self.chunks.clear()

    @property
    def open(self) -> bool:
        return self.mail_from is not None

    @property
    def chunking(self) -> bool:
        """A BDAT command was given, well or badly placed: DATA and RCPT are out of order until RSET."""
        return self.chunks is not None or self.chunk_failed is not None

    @property
    def sender(self) -> str:
        return self.mail_from or ""

    def add_recipient(self, address: str, orcpt: str, notify: Notify) -> None:
        self.rcpt_tos.append(address)
        self.recipients.append(Recipient(address, address, orcpt, notify))
