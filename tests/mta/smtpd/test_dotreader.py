"""Where a message ends: the case table of the dot reader, whole, octet by octet, and by generated content."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.dotreader import SLACK, DotReader, Newlines, normalize_chunks
from mta.smtpd.spool import MEMORY_OCTETS, Spool

ANY, STRICT = Newlines.ANY, Newlines.NORMALIZE

# newlines, what the client sends, the content (None: it has not ended), what follows it
CASES = [
    (ANY, b".\r\n", b"", b""),
    (ANY, b"a\r\n.\r\n", b"a\r\n", b""),
    (ANY, b"a\r\n.\r\nMAIL", b"a\r\n", b"MAIL"),
    (ANY, b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
    (ANY, b"..\r\n.\r\n", b".\r\n", b""),
    (ANY, b"a\r\n...b\r\n..\r\n.c\r\n.\r\n", b"a\r\n..b\r\n.\r\nc\r\n", b""),
    (ANY, b"a.\r\n. \r\n.\r\n", b"a.\r\n \r\n", b""),
    (ANY, b"a\n.\nb", b"a\r\n", b"b"),
    (ANY, b"a\n.\r\nb", b"a\r\n", b"b"),
    (ANY, b"a\r\n.\nb", b"a\r\n", b"b"),
    (ANY, b"a\r\n.\r\r\nb", b"a\r\n", b"b"),
    (ANY, b"a\r\r\nb\n.\r\n", b"a\r\nb\r\n", b""),
    (ANY, b"a\r.\r\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", b""),
    (ANY, b"a\r\n.", None, b""),
    (ANY, b"a\r\n.\r", None, b""),
    (ANY, b"a.\r\n", None, b""),
    (STRICT, b".\r\n", b"", b""),
    (STRICT, b"a\r\n.\r\nx", b"a\r\n", b"x"),
    (STRICT, b"a\n.\r\nx\r\n.\r\n", b"a\r\nx\r\n", b""),
    (STRICT, b"a\n.\nx\r\n.\r\n", b"a\r\nx\r\n", b""),
    (STRICT, b"a\r\n.\nx\r\n.\r\n", b"a\r\nx\r\n", b""),
    (STRICT, b"a\r\n.\r\r\nx\r\n.\r\n", b"a\r\n\r\r\nx\r\n", b""),
    (STRICT, b"a\n..\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n", b""),
    (STRICT, b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n", b""),
    (STRICT, b".\nx\r\n.\r\n", b"x\r\n", b""),
    (STRICT, b"a\n.\n", None, b""),
    (STRICT, b"a\n.\r\n", None, b""),
    (STRICT, b"a\r\n.\n", None, b""),
]


def read(
    newlines: Newlines, pieces: list[bytes], limit: int = 0, memory: int = MEMORY_OCTETS
) -> tuple[DotReader, bytes | None]:
    reader = DotReader(newlines, limit, Spool(memory=memory // 2), memory)
    for position, piece in enumerate(pieces):
        rest = reader.feed(piece)
        if rest is not None:
            return reader, rest + b"".join(pieces[position + 1 :])
    return reader, None


@pytest.mark.parametrize(("newlines", "sent", "content", "rest"), CASES)
def test_content_and_end(newlines: Newlines, sent: bytes, content: bytes | None, rest: bytes) -> None:
    pieces_of = [[sent], [bytes([octet]) for octet in sent]]
    pieces_of += [[sent[:cut], sent[cut:]] for cut in range(1, len(sent))]
    for pieces in pieces_of:
        reader, follows = read(newlines, pieces)
        if content is None:
            assert follows is None, pieces
        else:
            assert (reader.take(), follows) == (content, rest), pieces


def test_smuggled_end_is_not_an_end_in_strict_mode() -> None:
    """CVE-2023-51764: no line end but CRLF may surround the dot."""
    for before in (b"\n", b"\r", b"\r\r", b"\n\r", b"\0\r\n"[:1] + b"\n"):
        for after in (b"\n", b"\r", b"\r\r\n", b"\n\r"):
            if (before, after) == (b"\r\n", b"\r\n"):
                continue
            sent = b"x" + before + b"." + after + b"MAIL FROM:<evil@example.com>\r\n.\r\n"
            reader, rest = read(STRICT, [sent])
            assert rest == b"", (before, after)
            assert b"MAIL FROM:<evil" in reader.take()


def test_bare_newlines_are_noticed_where_they_are_forbidden() -> None:
    assert read(Newlines.REJECT, [b"a\nb\r\n.\r\n"])[0].bare_newline
    assert not read(Newlines.REJECT, [b"a\r\nb\r\n.\r\n"])[0].bare_newline


def test_old_name_of_normalize() -> None:
    assert Newlines.parse("yes") is Newlines.NORMALIZE
    with pytest.raises(ValueError, match="maybe"):
        Newlines.parse("maybe")


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_too_large_content_is_read_to_its_end_and_not_kept(size: int) -> None:
    sent = b"".join(b"%07d\r\n" % number for number in range(5000)) + b".\r\nQUIT\r\n"
    reader = DotReader(ANY, 1000)
    rest = None
    for start in range(0, len(sent), size):
        rest = reader.feed(sent[start : start + size])
        assert len(reader._raw) <= 4096 + size + 2048, "memory is bounded"
        if rest is not None:
            rest += sent[start + size :]
            break
    assert (reader.too_large, reader.take(), rest) == (True, b"", b"QUIT\r\n")


def test_a_line_without_end_is_not_kept() -> None:
    reader = DotReader(STRICT, 1000)
    for _ in range(1000):
        assert reader.feed(b"x" * 1000) is None
        assert len(reader._raw) < 5000
    assert reader.feed(b"\r\n.\r\n") == b""
    assert reader.too_large


def test_content_of_exactly_the_limit_passes() -> None:
    assert read(ANY, [b"12345678\r\n.\r\n"], 10)[0].take() == b"12345678\r\n"
    assert read(ANY, [b"123456789\r\n.\r\n"], 10)[0].too_large


@pytest.mark.parametrize("newlines", list(Newlines))
@pytest.mark.parametrize("line", [b"x" * 98 + b"\r\n", b"." + b"x" * 8 + b"\r\n", b"..\r\n", b"x\n", b".\n"])
def test_what_is_kept_stays_near_the_limit(newlines: Newlines, line: bytes) -> None:
    limit, read_size = 100_000, 4096
    reader = DotReader(newlines, limit)
    sent = b"x\r\n" + line * (3 * limit // len(line))
    for start in range(0, len(sent), read_size):
        if reader.feed(sent[start : start + read_size]) is not None:
            break
        assert len(reader._raw) + reader._settled.size <= limit + SLACK + read_size


@pytest.mark.parametrize("newlines", list(Newlines))
@pytest.mark.parametrize("line", [b"..\r\n", b"..\n", b".x\n", b"x\n", b"\n", b"..xxxxx\r\n"])
def test_the_limit_counts_what_lines_mean(newlines: Newlines, line: bytes) -> None:
    sent = b"x\r\n" + line * 5000 + b"x\r\n.\r\nQUIT"
    content = read(newlines, [sent])[0].take()
    assert len(content) > 10_000
    pieces = [sent[start : start + 1000] for start in range(0, len(sent), 1000)]
    for limit, too_large in [(len(content) - 1, True), (len(content), False), (len(content) + 1, False)]:
        reader, rest = read(newlines, pieces, limit)
        assert (reader.too_large, reader.take(), rest) == (too_large, b"" if too_large else content, b"QUIT")


long_fragments = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"x", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\n.", b".\r\n" * 90, b"..\n" * 90])
    | st.sampled_from([b"x" * 700, b"y" * 2000 + b"\r\n"]),
    max_size=30,
)


@given(long_fragments, st.sampled_from(list(Newlines)), st.integers(1, 5000), st.integers(1, 900))
def test_the_limit_changes_nothing_else(parts: list[bytes], newlines: Newlines, limit: int, size: int) -> None:
    sent = b"".join(parts)
    free, end = read(newlines, [sent])
    content = free.take()
    reader, rest = read(newlines, [sent[start : start + size] for start in range(0, len(sent), size)], limit)
    assert rest == end
    if rest is not None:
        assert reader.too_large is (len(content) > limit)
        assert reader.take() == (b"" if reader.too_large else content)


def test_carriage_returns_cost_what_they_are_long() -> None:
    def seconds(size: int) -> float:
        sent = b"\r" * size + b"x\r\r\n.\r\n"
        started = time.process_time()
        for _ in range(20):
            read(ANY, [sent])
        return time.process_time() - started

    assert seconds(64_000) < 64 * seconds(4_000)


@given(long_fragments, st.sampled_from(list(Newlines)), st.integers(1, 3000), st.integers(1, 900), st.booleans())
def test_what_leaves_memory_comes_back_the_same(
    parts: list[bytes], newlines: Newlines, memory: int, size: int, limited: bool
) -> None:
    sent = b"".join(parts)
    free, end = read(newlines, [sent])
    content = free.take()
    limit = max(1, len(content) - 1) if limited else 0
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    reader, rest = read(newlines, pieces, limit, memory)
    assert rest == end
    assert len(reader._raw) <= memory + SLACK + size + 1
    if rest is not None:
        assert reader.too_large is (0 < limit < len(content))
        assert reader.take() == (b"" if reader.too_large else content)
    reader.forget()


def test_a_line_without_end_leaves_memory_too() -> None:
    reader = DotReader(STRICT, 0, Spool(memory=1000), 1000)
    for _ in range(100):
        assert reader.feed(b"." * 999 + b"\r") is None
        assert len(reader._raw) < 4000
    assert reader.feed(b"\n.\r\n") == b""
    assert reader.take() == (b"." * 999 + b"\r")[1:] + (b"." * 999 + b"\r") * 98 + b"." * 999 + b"\r\n"


def test_content_that_cannot_be_kept_is_read_to_its_end(tmp_path: Path) -> None:
    reader = DotReader(STRICT, 0, Spool(tmp_path / "no such directory", 10), 10)
    assert reader.feed(b"x" * 2000 + b"\r\nx\r\n") is None
    assert reader.feed(b".\r\nQUIT") == b"QUIT"
    with pytest.raises(FileNotFoundError):
        reader.take()


fragments = st.lists(st.sampled_from([b"\r", b"\n", b".", b"x", b"\r\n", b"\r\n.\r\n", b"\0", b"\n."]), max_size=30)


@given(fragments, st.sampled_from(list(Newlines)), st.data())
def test_cutting_changes_nothing(parts: list[bytes], newlines: Newlines, data: st.DataObject) -> None:
    sent = b"".join(parts)
    whole, rest = read(newlines, [sent])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    cut, cut_rest = read(newlines, pieces)
    assert (cut.take(), cut_rest) == (whole.take(), rest)


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and b"\r" not in line), max_size=10))
def test_what_a_correct_client_stuffs_comes_out_again(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    for newlines in Newlines:
        reader, rest = read(newlines, [stuffed + b".\r\n"])
        assert (reader.take(), rest) == (content, b"")


@pytest.mark.parametrize(
    ("sent", "content", "bare"),
    [
        (b"", b"", False),
        (b"a\r\n", b"a\r\n", False),
        (b"a", b"a\r\n", False),
        (b"a\nb\r\n", b"a\r\nb\r\n", True),
        (b".\r\n..\r\n", b".\r\n..\r\n", False),
    ],
)
def test_chunks_have_no_dots_and_no_end(sent: bytes, content: bytes, bare: bool) -> None:
    assert normalize_chunks(sent) == (content, bare)
