"""What a SASL mechanism is made of: a generator that asks for things and is told the answers.

A mechanism owns no socket, no database and no clock. It yields one of the questions below, gets the answer by
``send``, and returns ``Done`` or raises ``Refused``. Whoever drives it (the auth service, or a test) answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field


class Refused(Exception):
    """The client is not let in; the text is for the log only."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client; answer: its response (bytes). ``binding``: the channel binding data to be told along."""

    data: bytes
    binding: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """Answer: the channel binding data of the kind the last challenge asked for, or None when there are none."""


@dataclass(frozen=True, slots=True)
class Initial:
    """Answer: the initial response (bytes), or None when the client sent none."""


@dataclass(frozen=True, slots=True)
class Identify:
    """The client calls itself ``user``. The driver normalises it and raises Refused for a forbidden name.

    Answer: the original name, before normalisation (DIGEST-MD5 hashes are made of it).
    """

    user: str


@dataclass(frozen=True, slots=True)
class ActAs:
    """The client wants to act as ``user`` (authorization identity); only master users may be another."""

    user: str


@dataclass(frozen=True, slots=True)
class VerifyPassword:
    """Answer: True when the passdbs take the password; the driver raises Refused otherwise."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Answer: the stored credentials in ``scheme`` (bytes); the driver raises Refused when there are none.

    ``suffix``: added to the user's name when they are made from a clear-text password (DIGEST-MD5's realm).
    """

    scheme: str
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """Keep ``text`` as the user's credentials in ``scheme``; the driver raises Refused when that cannot be."""

    scheme: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Answer: None when the OAuth 2 token is good, else where to read about the provider that gives good ones (RFC 7628
    section 3.2.2), "" for nowhere."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authorize:
    """Answer: None when the passdbs know the user and let this Kerberos ``principal`` be it (``realm`` is ours); the
    driver raises Refused otherwise."""

    principal: str
    realm: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """Become the user that the client's certificate names; the driver raises Refused unless it showed a valid one."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Become the anonymous user; ``trace`` is what the client says of itself (RFC 4505), for the log."""

    trace: str


@dataclass(frozen=True, slots=True)
class Done:
    """The client is let in; ``data`` is the mechanism's last message to it, b"" for none."""

    data: bytes = b""


Question = (
    Challenge
    | Binding
    | Initial
    | Identify
    | ActAs
    | VerifyPassword
    | Credentials
    | Store
    | VerifyToken
    | Authorize
    | Certificate
    | Anonymous
)
Steps = Generator[Question, "bytes | str | None", Done]


@dataclass(frozen=True, slots=True)
class Environment:
    """What a mechanism may know of its server. ``nonce`` makes fresh random bytes, ``now`` is in whole seconds."""

    hostname: str
    realms: tuple[str, ...]
    nonce: Callable[[int], bytes]
    now: Callable[[], int]
    one_time_users: set[str] = field(default_factory=set)
    """Users whose one-time password is being checked: the only thing that exchanges share."""
    issuer: str = ""
    """How the challenges begin that the POP3 server makes on this connection, for APOP."""
    service: str = ""
    kerberos_hostname: str = ""
    """``auth_gssapi_hostname``; "" for any name that the keytab has."""
    binds: bool = False
    """Whether the client was offered channel binding: to say that the server has none ("y") is then a lie on the way
    (RFC 5802 section 6)."""


@dataclass(frozen=True, slots=True)
class MechanismEntry:
    """A mechanism the service can offer. ``flags`` as the MECH line has them; ``needs``: what a passdb must be able to
    do for it ("verify" passwords, "lookup" credentials, "store" them, "" nothing); ``nuls``: its messages may hold NUL
    octets, which end an attempt by any other."""

    name: str
    flags: tuple[str, ...]
    needs: str
    start: Callable[[Environment], Steps]
    nuls: bool = False


def text(data: bytes) -> str:
    """Octets from the wire as text; what is not UTF-8 survives unchanged."""
    return data.decode("utf-8", "surrogateescape")


def as_bytes(answer: bytes | str | None) -> bytes:
    """The answer of a question whose answer is octets."""
    assert isinstance(answer, bytes)
    return answer


def as_text(answer: bytes | str | None) -> str:
    """The answer of a question whose answer is text."""
    assert isinstance(answer, str)
    return answer


def first_response() -> Generator[Question, bytes | str | None, bytes]:
    """The initial response, or the response to an empty challenge when there was none (RFC 4422 section 3.3)."""
    initial = yield Initial()
    if initial is None:
        initial = yield Challenge(b"")
    return as_bytes(initial)
