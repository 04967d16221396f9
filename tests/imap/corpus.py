"""Mail of all sorts, as it comes: encoded words, long references, 8-bit text, attachments, lines of dots."""

from __future__ import annotations

COUNT = 500

BODIES = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.\r\n..\r\n",
    b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\n\r\ntext\r\n--=_b\r\nContent-Type: image/png\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 19 * 20 + b"\r\n--=_b--\r\n",
    b"\r\n" + b"A line of some length that is not wrapped at all. " * 40 + b"\r\n",
    b"Content-Type: text/html\r\n\r\n<p>no newline at the end",
)


def message(number: int) -> bytes:
    """One of them; the Message-ID has the number."""
    head = (
        f"From: =?utf-8?q?J=C3=BCrgen?= <j{number}@a.test>\r\nTo: alice@b.test\r\nSubject: =?utf-8?b?w7w=?= {number}\r\n"
        f"Message-ID: <{number}@a.test>\r\nReferences: {' '.join(f'<{n}@a.test>' for n in range(number % 30))}\r\n"
        f"Date: Mon, 6 Nov 2023 10:{number // 60 % 60:02}:{number % 60:02} +0100\r\nMIME-Version: 1.0\r\n"
    )
    return head.encode() + BODIES[number % len(BODIES)]


def messages(count: int = COUNT) -> list[bytes]:
    """A folder full."""
    return list(map(message, range(count)))
