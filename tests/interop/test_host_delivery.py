"""local(8), virtual(8) and pipe(8) beside the real ones: the same mail, the same files, the same words in the log."""

from __future__ import annotations

import os
import pwd
import re
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop import realpostfix

pytestmark = [pytest.mark.interop, pytest.mark.needs_root]

Peer = Callable[[str, str], str]

MAIN = """\
myhostname = mail.example.com
mydomain = example.com
myorigin = example.com
mydestination = example.com, other.example
mynetworks = 127.0.0.0/8
inet_protocols = ipv4
alias_maps = hash:{dir}/aliases, inline:{{tabled=games}}
alias_database =
local_recipient_maps =
mail_spool_directory = {dir}/mail
forward_path = {dir}/forward/$user${{recipient_delimiter}}${{extension}}, {dir}/forward/$user
recipient_delimiter = +
relayhost = [127.0.0.1]:{sink}
biff = no
virtual_mailbox_domains = virtual.example
virtual_mailbox_base = {dir}/virtual
virtual_mailbox_maps = inline:{{box@virtual.example=box, dir@virtual.example=sub/dir/, bad@virtual.example=../x,
    root@virtual.example=root, nobody@virtual.example=other}}
virtual_uid_maps = inline:{{box@virtual.example=5001, dir@virtual.example=5001, bad@virtual.example=5001,
    root@virtual.example=0, nobody@virtual.example=5001}}
virtual_gid_maps = inline:{{box@virtual.example=5001, dir@virtual.example=5001, root@virtual.example=5001}}
transport_maps = inline:{{pipe.example=filter:next.example, fail.example=fail:x, busy.example=busy:x,
    status.example=status:x, killed.example=killed:x, big.example=small:x, slow.example=slow:x, gone.example=gone:x}}
slow_time_limit = 1
filter_destination_recipient_limit = 1
maximal_queue_lifetime = 1d
notify_classes =
disable_vrfy_command = yes
smtpd_recipient_restrictions = permit
smtpd_reject_unlisted_recipient = no
"""
PIPES = """\
virtual unix - n n - - virtual
filter unix - n n - - pipe flags=DFORXhu.> user=games null_sender=nobody argv=/usr/bin/env -i A=1 /usr/bin/tee
    {dir}/out/pipe.${{user}} {dir}/out/pipe.${{user}}.${{extension}}.${{domain}}.${{nexthop}}
fail unix - n n - - pipe user=games argv=/bin/sh -c {{ echo no such thing; exit 67 }} ${{recipient}}
busy unix - n n - - pipe user=games argv=/bin/sh -c {{ exit 75 }}
status unix - n n - - pipe user=games argv=/bin/sh -c {{ echo 5.7.42 not here; exit 1 }}
killed unix - n n - - pipe user=games argv=/bin/sh -c {{ kill -9 $$$$ }}
small unix - n n - - pipe user=games size=10 argv=/bin/cat
slow unix - n n - - pipe user=games argv=/bin/sleep 20
gone unix - n n - - pipe user=games argv={dir}/nothing here
"""
ALIASES = """\
postmaster: games
tabled2: tabled
alias: games
both: games, news
loop: loop, games
chain: loop2
loop2: chain
self: self
list: games, :include:{dir}/members
owner-list: news
file: {dir}/out/file
maildir: {dir}/out/maildir/
cmd: |{dir}/bin/show
shell: "|IFS=' ' && /usr/bin/env -i cat >{dir}/out/shell && echo $LOGNAME $EXTENSION >>{dir}/out/shell"
cmdfail: "|/bin/false"
unknowncmd: "|{dir}/bin/none"
usage: "|/bin/sh -c 'echo oops; exit 64'"
half: games, nosuch
restricted: :include:{dir}/commands
remote: someone@elsewhere.example
noinclude: :include:{dir}/nowhere
relative: :include:nowhere
devnull: /dev/null
executable: {dir}/out/executable
"""
FILES = {
    "members": "news\nremote@elsewhere.example, games\n# a comment\n",
    "commands": "|/bin/cat\n/etc/nothing\n",
    "forward/news": "uucp\n\\news\n",
    "forward/uucp": "# nothing but a comment\n",
    "forward/irc": '"|cat >>{dir}/out/irc; exit 0", {dir}/out/ircfile\n',
    "forward/irc+ext": "games\n",
    "bin/show": "#!/bin/sh\nenv | grep -E '^(USER|LOGNAME|HOME|LOCAL|RECIPIENT|SENDER|EXTENSION|DOMAIN|ORIGINAL_RECIPIENT|SHELL)='"
    " | sort >{dir}/out/show\ncat >>{dir}/out/show\n",
    "out/executable": "x",
}
RECIPIENTS = (
    *("games@example.com", "Games+Ext@example.com", "news@other.example", "uucp@example.com", "irc@example.com"),
    *("irc+ext@example.com", "irc+other@example.com", "nosuch@example.com", "alias@example.com", "alias+x@example.com"),
    *("both@example.com", "loop@example.com", "chain@example.com", "self@example.com", "list@example.com"),
    *("file@example.com", "maildir@example.com", "cmd+e@example.com", "shell@example.com", "cmdfail@example.com"),
    *("unknowncmd@example.com", "usage@example.com", "half@example.com", "restricted@example.com"),
    *("remote@example.com", "noinclude@example.com", "relative@example.com", "devnull@example.com"),
    *("executable@example.com", "tabled@example.com", "tabled2@example.com", "postmaster@example.com"),
    *("mailer-daemon@example.com", "list-request@example.com", "looped@example.com"),
    *("box@virtual.example", "dir@virtual.example", "bad@virtual.example", "root@virtual.example"),
    *("nobody@virtual.example", "unknown@virtual.example"),
    *("Joe+X@Pipe.Example", "a@fail.example", "b@busy.example", "c@status.example", "d@killed.example"),
    *("e@big.example", "f@slow.example", "g@gone.example"),
)
LETTER = "Subject: %s\r\nMessage-Id: <1@client.example>\r\nDate: Tue, 1 Dec 2026 00:00:00 +0000\r\nFrom: a@client.example\r\n\r\nFrom here\r\n.dot\r\n\r\nend\r\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def prepare(directory: Path) -> None:
    """The files that both mail systems find."""
    for name in ("mail", "out", "virtual", "forward", "bin"):
        (directory / name).mkdir(parents=True)
    for path in (directory, directory.parent):
        path.chmod(0o755)
    for name in ("mail", "out"):
        (directory / name).chmod(0o1777)
    os.chown(directory / "virtual", 5001, 5001)
    for name, text in FILES.items():
        path = directory / name
        path.write_text(text.format(dir=directory) if "{dir}" in text else text)
        path.chmod(0o755 if name.startswith("bin") else 0o644)
        if name.startswith("forward"):
            owner = pwd.getpwnam(path.name.partition("+")[0])
            os.chown(path, owner.pw_uid, owner.pw_gid)
    games = pwd.getpwnam("games")
    os.chown(directory / "out/executable", games.pw_uid, games.pw_gid)
    (directory / "out/executable").chmod(0o755)
    (directory / "aliases").write_text(ALIASES.format(dir=directory))


def send(port: int) -> None:
    """One mail to each recipient, and one that has been there before."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for recipient in RECIPIENTS:
            letter = LETTER % recipient
            if recipient.startswith("looped"):
                letter = "Delivered-To: looped@example.com\r\n" + letter
            client.sendmail("sender@client.example", [recipient], letter)
        client.sendmail("", ["games@example.com"], LETTER % "null sender")


OUTCOME = re.compile(
    r"/(?:local|virtual|pipe)\[\d+\]: (\w+): to=<([^>]*)>(?:, orig_to=<([^>]*)>)?, relay=([\w-]+),.*dsn=([\d.]+), status=(\w+) \((.*)\)$"
)


def outcomes(log: str, directory: Path) -> list[tuple[str, ...]]:
    """What the log says came of each recipient, without queue ids and times."""
    found = []
    for line in log.splitlines():
        if match := OUTCOME.search(line):
            _, to, original, relay, dsn, status, reason = match.groups()
            reason = re.sub(r"(From \S+  ).{24}", r"\1DATE", reason)
            reason = re.sub(r"forwarded as \w+", "forwarded as ID", reason.replace(str(directory), "DIR"))
            found.append((to, original or "", relay, dsn, status, reason))
    return sorted(found)


def contents(directory: Path) -> dict[str, list[str]]:
    """Every file that was delivered to, by name, its messages sorted, without what no two systems have in common."""
    found: dict[str, list[str]] = {}
    for path in [*directory.glob("mail/*"), *directory.glob("out/**/*"), *directory.glob("virtual/**/*")]:
        if not path.is_file():
            continue
        text = path.read_text().replace(str(directory), "DIR")
        text = re.sub(r"(?m)^Received: .*\n(?:\t.*\n)+", "Received: x\n", text)
        text = re.sub(r"(?m)^(From \S+  ).*$", r"\1DATE", text)
        owner = path.stat()
        name = re.sub(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\..*", "MESSAGE", str(path.relative_to(directory)))
        label = f"{name} {owner.st_uid}:{owner.st_gid} {stat.S_IMODE(owner.st_mode):o}"
        found[label] = sorted([*found.get(label, []), *re.split(r"(?m)(?=^From \S+  DATE$|^\S+@example.com$)", text)])
    return found


def settled(log: Path, count: int) -> str:
    """The log once every mail that it names, and so many of them, has left the queue or waits for its next try."""
    deadline = time.monotonic() + 60
    while True:
        text = log.read_text() if log.exists() else ""
        named = set(re.findall(r"cleanup\[\d+\]: (\w+): message-id=", text))
        done = set(re.findall(r"(?m) (\w+): (?:removed$|to=<.*status=deferred)", text))
        if len(done) >= count and named <= done:
            return text
        assert time.monotonic() < deadline, f"nothing came of {named - done}"
        time.sleep(0.05)


@contextmanager
def ours(directory: Path, port: int, main: str, pipes: str) -> Iterator[Path]:
    """`hardmail run` with the same configuration; its log."""
    conf = directory / "conf"
    conf.mkdir()
    log = directory / "mail.log"
    (conf / "main.cf").write_text(
        f"queue_directory = {directory}/queue\ndata_directory = {directory}/data\nmaillog_file = {log}\n"
        f"inet_interfaces = 127.0.0.1\nhardmail_delivery_directories = {directory}\n{main}"
    )
    services = realpostfix.SERVICES.replace("postlog   unix-dgram n - n -    1  postlogd\n", "")
    (conf / "master.cf").write_text(f"127.0.0.1:{port} inet n - n - - smtpd\n{services}{pipes}")
    with (directory / "run.out").open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "lab", "run", "-c", str(conf)], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 20
        while "ready" not in (said := (directory / "run.out").read_text()):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


VARIANTS = {
    "as shipped": "",
    "the other way round": """\
mail_spool_directory = {dir}/mail/
luser_relay = games+$local
propagate_unmatched_extensions = canonical, virtual, alias, forward, include
allow_mail_to_commands = forward, include
allow_mail_to_files = alias
expand_owner_alias = yes
frozen_delivered_to = no
prepend_delivered_header = file
""",
    "by command": """\
mailbox_command = echo "$LOCAL@$DOMAIN" >>{dir}/out/by.$USER
mailbox_command_maps = inline:{{news=/bin/false}}
fallback_transport_maps = inline:{{{{nosuch = retry:not now}}}}
local_command_shell = /bin/sh -c
reset_owner_alias = yes
owner_request_special = no
virtual_mailbox_lock = dotlock
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_mail_for_this_host_ends_where_postfix_puts_it(peer: Peer, place: Path, variant: str) -> None:
    """Everything remote goes to a relayhost that nobody answers at."""
    real, mine = deliver_by_postfix(peer, place / "real", variant), deliver_by_us(place / "ours", variant)
    assert mine[0] == real[0]
    assert mine[1] == real[1]


def configured(directory: Path, variant: str) -> tuple[str, str]:
    """main.cf and the pipe lines of master.cf for a prepared directory."""
    prepare(directory)
    main = MAIN.format(dir=directory, sink=free_port()) + VARIANTS[variant].format(dir=directory)
    return main, PIPES.format(dir=directory)


def deliver_by_us(directory: Path, variant: str) -> tuple[list[tuple[str, ...]], dict[str, list[str]]]:
    """Outcomes and contents."""
    (main, pipes), port = configured(directory, variant), free_port()
    with ours(directory, port, main, pipes) as path:
        send(port)
        log = settled(path, len(RECIPIENTS) + 1)
    return outcomes(log, directory), contents(directory)


def deliver_by_postfix(peer: Peer, directory: Path, variant: str) -> tuple[list[tuple[str, ...]], dict[str, list[str]]]:
    """The same of the real one."""
    (main, pipes), port = configured(directory, variant), free_port()
    subprocess.run([peer("postalias", "postfix"), f"hash:{directory}/aliases"], check=True)
    listeners = f"127.0.0.1:{port} inet n - n - - smtpd\n{pipes}"
    with realpostfix.running(peer("postfix", "postfix"), directory, listeners, main):
        send(port)
        log = settled(directory / "mail.log", len(RECIPIENTS) + 1)
    return outcomes(log, directory), contents(directory)
