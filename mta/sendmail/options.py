"""The command line of sendmail(1), in the forms that a quarter of a century of programs have used."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass, field
from typing import Final

from mta.queue.message import Notify
from mta.queue.tool import Fatal

WITH_ARGUMENT: Final = frozenset("ABCFLNORVXbefhopqr")
WITHOUT_ARGUMENT: Final = frozenset("GIUcimntvx")


class BadOption(Exception):
    """The command line cannot be taken apart; the message is getopt(3)'s."""


ENQUEUE, LIST, ALIASES, SMTP, FLUSH, DAEMON, VERIFY = "enqueue", "list", "aliases", "smtp", "flush", "daemon", "verify"
_MODES: Final = {
    "m": ENQUEUE,
    "p": LIST,
    "i": ALIASES,
    "s": SMTP,
    "d": DAEMON,
    "l": DAEMON,
    "v": VERIFY,
    "h": "",
    "H": "",
}
_ALONE: Final = {
    LIST: "display queue",
    ALIASES: "alias initialization",
    SMTP: "stand-alone",
    FLUSH: "flush queue",
    DAEMON: "daemon",
}
"""Modes that have nothing to do with recipients."""


@dataclass(slots=True)
class Options:
    """What was asked for."""

    mode: str = ENQUEUE
    confdir: str | None = None
    sender: str | None = None
    """None: the user who calls."""
    fullname: str = ""
    body: str = ""
    notify: Notify = Notify.DEFAULT
    ret: str = ""
    envid: str = ""
    dot_ends: bool = True
    """A line with only a dot is the end of input."""
    from_header: bool = False
    """-t"""
    gateway: bool = False
    """-G: do not complete addresses."""
    smtputf8: bool = False
    aliases: str = ""
    """-oA: the alias file that newaliases is to look at, instead of alias_database."""
    retry_id: str = ""
    site: str = ""
    verbose: int = 0
    recipients: list[str] = field(default_factory=list)


def parse(argv: list[str]) -> Options:
    """Read the arguments behind the program's name. Raises Fatal, BadOption."""
    options = Options()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            words.insert(0, word)
            break
        if word == "-XV" or (word.startswith("-XV") and len(word) == 5):
            raise Fatal("variable envelope return paths (-XV) are not supported")
        if word == "-q":  # alone it takes no argument, whatever follows
            options.mode = FLUSH
            continue
        _cluster(options, word[1:], words)
    options.recipients = words
    _check(options)
    return options


def _cluster(options: Options, letters: str, words: list[str]) -> None:
    """`-oi`, `-ti`, `-fsender`, `-f sender`: letters up to one that takes an argument."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in WITHOUT_ARGUMENT:
            _flag(options, letter)
        elif letter in WITH_ARGUMENT:
            if not letters and not words:
                raise BadOption(f"option requires an argument -- '{letter}'")
            value = letters or words.pop(0)
            _setting(options, letter, value)
            return
        else:
            raise BadOption(f"invalid option -- '{letter}'")


def _flag(options: Options, letter: str) -> None:
    match letter:
        case "G":
            options.gateway = True
        case "I":
            options.mode = ALIASES
        case "i":
            options.dot_ends = False
        case "t":
            options.from_header = True
        case "v":
            options.verbose += 1
        case _:
            pass  # -c -m -n -U -x: settings of other sendmails, without meaning here


def _setting(options: Options, letter: str, value: str) -> None:
    match letter:
        case "B":
            options.body = _body(value)
        case "C":
            options.confdir = value
        case "F":
            options.fullname = value
        case "N":
            options.notify = _notify(value)
        case "O":
            # Postfix ignores it, but mail programs have needed this one: address syntax of RFC 6531.
            options.smtputf8 = options.smtputf8 or value.strip().lower() == "smtputf8"
        case "R":
            options.ret = _ret(value)
        case "V":
            options.envid = value
        case "b":
            _mode(options, value)
        case "f" | "r":
            options.sender = value
        case "o" if value.startswith("A"):
            options.aliases = value[1:]
        case "o":
            options.dot_ends = options.dot_ends and not value.startswith("i")
        case "q":
            _queue_run(options, value)
        case _:
            pass  # -A -L -X -e -h -p: as above


def _mode(options: Options, value: str) -> None:
    mode = _MODES.get(value[:1])
    if mode is None:
        raise Fatal(f"unsupported: -b{value}")
    options.mode = mode or options.mode


def _queue_run(options: Options, value: str) -> None:
    if value[0] == "I":
        options.mode, options.retry_id = FLUSH, value[1:]
    elif value[0] == "R":
        options.mode, options.site = FLUSH, value[1:]
    elif value[0].isdigit():
        if options.mode == ENQUEUE:
            options.mode = DAEMON  # -q1h goes with -bd; the interval is main.cf's
    else:
        raise Fatal(f"-q{value[0]} is not implemented")


def _body(value: str) -> str:
    body = value.upper()
    if body not in ("7BIT", "8BITMIME"):
        raise Fatal("-B option needs 8BITMIME or 7BIT")
    return body


def _notify(value: str) -> Notify:
    try:
        return Notify.parse(value)
    except ValueError:
        _ignored("-N")
        return Notify.DEFAULT


def _ret(value: str) -> str:
    ret = value.upper()
    if ret not in ("FULL", "HDRS"):
        _ignored("-R")
        return ""
    return ret


def _ignored(option: str) -> None:
    """Mail is worth more than a wish about its status."""
    print(f"sendmail: warning: bad {option} option value -- ignored", file=sys.stderr)


def _check(options: Options) -> None:
    if options.from_header and options.mode == VERIFY:
        raise Fatal("-t option cannot be used with -bv")
    if options.from_header and options.mode not in (ENQUEUE,):
        raise Fatal("-t can be used only in delivery mode")
    if options.recipients and (what := _ALONE.get(options.mode)):
        raise Fatal(f"{what} mode requires no recipient")
    if options.mode in (ENQUEUE, VERIFY) and not options.recipients and not options.from_header:
        text = "Recipient addresses must be specified on the command line or via the -t option"
        raise Fatal(f"{caller()}: {text}")
    if any(char in (options.sender or "") + options.envid + "".join(options.recipients) for char in "\0\r\n"):
        raise Fatal("an address holds a control character")


def caller() -> str:
    """The user who calls, as errors name him: `root(0)`."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = "unknown"
    return f"{name}({os.getuid()})"
