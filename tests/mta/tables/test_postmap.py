"""The postmap command."""

import io
from pathlib import Path

import pytest

from mta.tables.postmap import main, postalias_main


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "main.cf").write_text("default_database_type = texthash\n")
    (tmp_path / "t").write_text("a one\nb two\n")
    return str(tmp_path / "t")


def run(source: str, *arguments: str) -> int:
    return main(["-c", str(Path(source).parent), *arguments])


def test_queries(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "-q", "a", f"hash:{source}") == 0
    assert run(source, "-q", "b", source) == 0
    assert run(source, "-q", "c", source, "static:else") == 0
    assert capsys.readouterr().out == "one\ntwo\nelse\n"
    assert run(source, "-q", "c", source) == 1
    assert capsys.readouterr().out == ""


def test_keys_from_standard_input(
    source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nx\nb"))
    assert run(source, "-q", "-", source) == 0
    assert capsys.readouterr().out == "a\tone\nb\ttwo\n"


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ("-hq", ["Subject: one\n two", "Content-Type: multipart/x; boundary=b"]),
        ("-bq", ["", "--b", "X-Part: p", "", "text", "--b--"]),
        ("-hmq", ["Subject: one\n two", "Content-Type: multipart/x; boundary=b", "X-Part: p"]),
        ("-bmq", ["", "--b", "", "text", "--b--"]),
    ],
)
def test_a_message_on_standard_input(
    flags: str, asked: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = "Subject: one\n two\nContent-Type: multipart/x; boundary=b\n\n--b\nX-Part: p\n\ntext\n--b--\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(mail))
    assert main([flags, "-", "static:x"]) == 0
    assert capsys.readouterr().out == "".join(f"{key}\tx\n" for key in asked)


def test_listing_and_checking(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "-s", source) == 0
    assert capsys.readouterr().out == "a\tone\nb\ttwo\n"
    assert run(source, f"hash:{source}") == 0
    assert run(source, "-s", "static:x") == 1
    assert "table static:x: sequence operation is not supported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-q", "a", "foo:x"], "unsupported dictionary type: foo"),
        (
            ["-q", "a"],
            "postmap: fatal: usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]",
        ),
        (["-Z"], "postmap: invalid option -- 'Z'\npostmap: fatal: usage: postmap [-bfFhimnNoprsuUvw]"),
        (["-q"], "postmap: option requires an argument -- 'q'\npostmap: fatal: usage: postmap"),
        (["-q", "a", "-d", "b", "static:x"], "specify only one of -s -q or -d"),
        (["-b", "-q", "a", "static:x"], 'specify -b -h or -m only with "-q -"'),
        (["-q", "a", "hash:/nonexistent"], "No such file"),
        (["/nonexistent"], "No such file"),
    ],
)
def test_mistakes(arguments: list[str], complaint: str, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, *arguments) == 1
    assert complaint in capsys.readouterr().err


def test_aliases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "aliases").write_text("root: alice, bob\n")
    assert postalias_main(["-c", str(tmp_path), "-q", "root", f"hash:{tmp_path}/aliases"]) == 0
    assert capsys.readouterr().out == "alice, bob\n"
