"""Mail sealed for its reader: nothing is readable outside, everything is there inside, and real gpg opens it."""

from __future__ import annotations

import email
import email.policy
import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysequoia import Cert, Tsk, decrypt

from imap.lmtp.openpgp import KEY_LIMIT, CannotEncrypt, read_key, seal, split

ALICE = Tsk.generate("<alice@lab.example>")
MAIL = (
    b"Received: from a\r\n\tby b\r\nFrom: bob@b.test\r\nTo: alice@lab.example\r\nSubject: the secret plan\r\n"
    b"X-Mood: conspiratorial\r\nMessage-ID: <1@b.test>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nAt nine.\r\n"
)


def armored(sealed: bytes) -> bytes:
    """The OpenPGP message in a sealed mail."""
    message = email.message_from_bytes(sealed, policy=email.policy.SMTP)
    assert message.get_content_type() == "multipart/encrypted"
    assert message.get_param("protocol") == "application/pgp-encrypted"
    control, content = message.get_payload()
    assert (control.get_content_type(), control.get_payload().strip()) == ("application/pgp-encrypted", "Version: 1")
    assert content.get_content_type() == "application/octet-stream"
    return bytes(content.get_payload(decode=True))


def opened(sealed: bytes) -> bytes:
    """What alice's key makes of a sealed mail."""
    clear = decrypt(armored(sealed), decryptor=ALICE.decryptor()).bytes
    assert clear is not None
    return bytes(clear)


def test_outside_nothing_but_what_a_mail_server_needs() -> None:
    sealed = seal(MAIL, ALICE.extract_certificate())
    for secret in (b"secret plan", b"conspiratorial", b"At nine"):
        assert secret not in sealed
    message = email.message_from_bytes(sealed, policy=email.policy.SMTP)
    assert (message["Subject"], message["Message-ID"]) == ("[...]", "<1@b.test>")
    assert message["Received"].split() == ["from", "a", "by", "b"]
    assert b"\n" not in sealed.replace(b"\r\n", b"")


def test_inside_the_whole_mail_and_what_was_shown_of_it() -> None:
    clear = opened(seal(MAIL, ALICE.extract_certificate()))
    inner = email.message_from_bytes(clear, policy=email.policy.SMTP)
    assert (inner["Subject"], inner["X-Mood"]) == ("the secret plan", "conspiratorial")
    assert (inner.get_param("hp"), inner.get_param("charset")) == ("cipher", "utf-8")
    assert inner.get_all("HP-Outer") == [
        "From: bob@b.test",
        "To: alice@lab.example",
        "Message-ID: <1@b.test>",
        "Subject: [...]",
    ]
    assert inner.get_payload() == "At nine.\r\n"


def test_a_mail_without_a_content_type_gets_the_default() -> None:
    clear = opened(seal(b"Subject: x\r\n\r\nbody\r\n", ALICE.extract_certificate()))
    assert b'Content-Type: text/plain; charset=us-ascii;\r\n hp="cipher"\r\n' in clear


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([MAIL[:90], b"\r\n", b"\n", b" x", b"A:", b"\0", b":"])).map(b"".join)
)
def test_any_mail_is_sealed_and_comes_out_whole(mail: bytes) -> None:
    fields, body = split(mail)
    rest = mail.removeprefix(b"".join(fields))
    assert rest in (body, b"\r\n" + body, b"\n" + body)
    assert opened(seal(mail, ALICE.extract_certificate())).endswith(body)


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "alice.asc"
    path.write_text(str(ALICE.extract_certificate()))
    assert read_key(path).fingerprint == ALICE.extract_certificate().fingerprint
    (tmp_path / "bob.asc").symlink_to(path)
    (tmp_path / "junk.asc").write_text("no key")
    (tmp_path / "huge.asc").write_bytes(bytes(KEY_LIMIT + 1))
    (tmp_path / "directory.asc").mkdir()
    os.mkfifo(tmp_path / "fifo.asc")
    for name in ("none", "bob", "junk", "huge", "directory", "fifo"):
        with pytest.raises(CannotEncrypt) as refused:
            read_key(tmp_path / f"{name}.asc")
        assert "\n" not in str(refused.value)


def test_a_key_that_cannot_encrypt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alice.asc"
    certificate = ALICE.extract_certificate()
    revoked = certificate.merge(Cert.from_bytes(bytes(certificate) + bytes(certificate.revoke(ALICE.certifier()))))
    path.write_text(str(revoked))
    with pytest.raises(CannotEncrypt, match="revoked"):
        read_key(path)
    expired = Tsk.generate("<a@b>", validity_seconds=1).extract_certificate()
    while expired.expiration and datetime.now(UTC) <= expired.expiration:
        time.sleep(0.05)
    path.write_text(str(expired))
    with pytest.raises(CannotEncrypt, match="expired"):
        read_key(path)


@pytest.mark.interop
@pytest.mark.parametrize("algorithm", ["default", "future-default"])
def test_real_gpg_opens_it(algorithm: str, place: Path, peer: Callable[[str, str], str]) -> None:
    gpg = [peer("gpg", "gnupg"), "--batch", "--homedir", str(place), "--passphrase", "", "--pinentry-mode", "loopback"]
    place.chmod(0o700)

    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run([*gpg, *arguments], input=stdin, capture_output=True, check=True, timeout=120).stdout

    try:
        run("--quick-gen-key", "alice@lab.example", algorithm, "default", "never")
        (place / "alice.asc").write_bytes(run("--armor", "--export", "alice@lab.example"))
        sealed = seal(MAIL, read_key(place / "alice.asc"))
        assert run("--decrypt", stdin=armored(sealed)).endswith(b"\r\n\r\nAt nine.\r\n")
    finally:
        subprocess.run([peer("gpgconf", "gnupg"), "--homedir", place, "--kill", "all"], check=False)
