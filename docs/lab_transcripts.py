"""Works through Lab 12.1 and 12.2 in tmux, with the real telnet and smtptest, and keeps what the terminal showed.

    .venv/bin/python docs/lab_transcripts.py [DIRECTORY]     writes lab-12.1.txt and lab-12.2.txt there, or into docs/

Everything is typed into a shell as a student types it; the next line is typed when the answer to the last one stands
on the screen. The passwords of the class, which `lab start` shows, are replaced in the transcript.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMTPTEST_PATH = "/usr/lib/cyrus/bin"
SECONDS = 120.0
PROMPT = "$ "
AUTH_PLAIN = re.compile(r"(?m)^(C: .*AUTH(?:ENTICATE)? PLAIN )\S+")
COLUMNS, ROWS, HISTORY = "118", "50", "5000"


class Terminal:
    """A shell in a tmux session of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tmux = ["tmux", "-S", str(place / "tmux"), "-f", "/dev/null"]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(ROOT), os.environ["PATH"], SMTPTEST_PATH)),
            "XDG_RUNTIME_DIR": str(place / "runtime"),
            "LANG": "C.UTF-8",
            "TERM": "screen",
        }
        (place / "runtime").mkdir(mode=0o700)
        subprocess.run(
            [*self.tmux, "new-session", "-d", "-x", COLUMNS, "-y", ROWS, "-c", str(place), "bash", "--norc"],
            check=True,
            env=environment,
        )
        subprocess.run([*self.tmux, "set-option", "history-limit", HISTORY], check=True)
        self.type(f"PS1='{PROMPT}'; clear")
        self.wait(lambda text: text.strip() == PROMPT.strip())
        subprocess.run([*self.tmux, "clear-history"], check=True)

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        subprocess.run([*self.tmux, "send-keys", "-l", line], check=True)
        subprocess.run([*self.tmux, "send-keys", "Enter"], check=True)

    def screen(self) -> str:
        """Everything that was shown so far."""
        shown = subprocess.run([*self.tmux, "capture-pane", "-p", "-J", "-S", "-"], capture_output=True, check=True)
        return shown.stdout.decode().rstrip()

    def wait(self, condition: Callable[[str], bool]) -> None:
        """Return once the screen fulfils the condition. Raises TimeoutError with the screen."""
        deadline = time.monotonic() + SECONDS
        while not condition(self.screen()):
            if time.monotonic() > deadline:
                raise TimeoutError(self.screen())
            time.sleep(0.1)

    def command(self, line: str) -> None:
        """Type a command and wait for the prompt after it."""
        before = self.screen().count("\n")
        self.type(line)
        self.wait(lambda text: text.count("\n") > before and text.endswith("\n" + PROMPT.strip()))

    def say(self, line: str, answer: str) -> None:
        """Type a line of a dialogue and wait for a new line that begins so."""
        before = self.answers(answer)
        self.type(line)
        self.wait(lambda text: self.answers(answer) > before)

    def answers(self, start: str) -> int:
        """How many lines on the screen begin so."""
        return sum(line.startswith(start) for line in self.screen().splitlines())

    def close(self) -> None:
        """End the session."""
        subprocess.run([*self.tmux, "kill-server"], check=False)


class Class:
    """What the exercise has told the student."""

    def __init__(self, directory: Path) -> None:
        self.info = json.loads((directory / "lab.json").read_text())
        self.names = json.loads((directory / "exercise.json").read_text())["names"]
        self.passwords = [user["password"] for user in json.loads((directory / "credentials.json").read_text())]

    def port(self, instance: str, service: str) -> int:
        """The port of a service."""
        return int(self.info["instances"][instance]["endpoints"][service][1])

    def address(self, role: str) -> str:
        """The address of a user by role."""
        return f"{self.names[role]}@{self.names['partner_domain' if role == 'partner' else 'domain']}"


def mail(terminal: Terminal, sender: str, recipient: str, subject: str) -> None:
    """A mail transaction, typed by hand."""
    terminal.say(f"MAIL FROM:<{sender}>", "250 2.1.0")
    terminal.say(f"RCPT TO:<{recipient}>", "250 2.1.5")
    terminal.say("DATA", "354 ")
    for line in (f"From: {sender}", f"Subject: {subject}", "", "Greetings."):
        terminal.type(line)
    terminal.say(".", "250 2.0.0 Ok: queued")


def lab_12_1(terminal: Terminal, directory: Path) -> None:
    """Mail from outside: listen, accept the domain, try it with telnet as the partner."""
    room = Class(directory)
    terminal.command("hardmail lab check")
    settings = ("inet_interfaces = all", "mydestination = $mydomain, $myhostname, localhost")
    terminal.command(f"hardmail postconf -c mailhost -e {shlex.join(settings)}")
    terminal.command("hardmail lab reload")
    terminal.say(f"telnet -b 127.0.0.3 127.0.0.2 {room.port('mailhost', 'smtp')}", "220 ")
    terminal.say(f"EHLO mail.{room.names['partner_domain']}", "250 ")
    mail(terminal, room.address("partner"), room.address("user"), "from outside")
    terminal.say(f"MAIL FROM:<{room.address('partner')}>", "250 2.1.0")
    terminal.say("RCPT TO:<victim@far.example>", "554 5.7.1")
    terminal.command("QUIT")
    inbox = f"var/mailhost/mail/{room.names['user']}/Maildir/new"
    terminal.command(f"cat {inbox}/*")
    terminal.command("hardmail lab check")


def lab_12_2(terminal: Terminal, directory: Path) -> None:
    """IMAP and POP3, authentication over Dovecot's socket, a mail sent with smtptest."""
    room = Class(directory)
    terminal.command("hardmail lab check")
    terminal.command("sed -i 's/^protocols = .*/protocols = imap pop3 lmtp/' mailhost/dovecot.conf")
    owner = r"\n    user = {postfix_user}\n    group = {postfix_group}".format_map(room.names)
    uncomment = f"/#unix_listener/,/#}}/{{s/#//;s/mode = 0666/mode = 0600{owner}/}}"
    terminal.command(f"sed -i '{uncomment}' mailhost/conf.d/10-master.conf")
    terminal.command("tail -n 9 mailhost/conf.d/10-master.conf")
    settings = (
        "smtpd_tls_auth_only = yes",
        "smtpd_sasl_auth_enable = yes",
        "smtpd_sasl_type = dovecot",
        "smtpd_sasl_path = private/auth",
        "smtpd_sasl_security_options = noanonymous",
        "smtpd_sasl_authenticated_header = yes",
        "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    )
    terminal.command(f"hardmail postconf -c mailhost -e {shlex.join(settings)}")
    terminal.command("hardmail lab reload")
    user, port = room.names["user"], room.port("mailhost", "smtp")
    login = f'-t "" -p {{}} -m PLAIN -a {user} -u {user} 127.0.0.2'
    terminal.say(f"smtptest {login.format(port)}", "Please enter your password:")
    terminal.say(room.passwords[0], "Authenticated.")
    mail(terminal, room.address("user"), room.address("partner"), "sent with smtptest")
    terminal.command("QUIT")
    terminal.say(f"imtest {login.format(room.port('mailhost', 'imap'))}", "Please enter your password:")
    terminal.say(room.passwords[0], "Authenticated.")
    terminal.say("a SELECT INBOX", "a OK")
    terminal.command("b LOGOUT")
    terminal.command(f"cat var/outside/mail/{room.names['partner']}/Maildir/new/*")
    terminal.command("hardmail lab check")


def transcript(slug: str, work: Callable[[Terminal, Path], None]) -> str:
    """What the terminal showed from `lab start` to `lab stop`, without the passwords."""
    place = Path(tempfile.mkdtemp(prefix="class-"))
    place.chmod(0o755)
    directory = place / "lab"
    terminal = Terminal(place)
    try:
        terminal.command(f"hardmail lab start {slug} --student Erika --dir lab")
        terminal.command("cd lab")
        work(terminal, directory)
        terminal.command("hardmail lab report")
        terminal.command("hardmail lab stop")
        shown = terminal.screen().removesuffix(PROMPT.strip())
        shown = AUTH_PLAIN.sub(r"\1<password>", shown)
        for password in Class(directory).passwords:
            shown = shown.replace(password, "<password>")
    finally:
        terminal.close()
        if directory.exists():
            environment = {**os.environ, "XDG_RUNTIME_DIR": str(place / "runtime")}
            subprocess.run([ROOT / "hardmail", "lab", "stop", "--dir", directory], env=environment, check=False)
        shutil.rmtree(place)
    return "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    for name, exercise in (("12.1", lab_12_1), ("12.2", lab_12_2)):
        (target / f"lab-{name}.txt").write_text(transcript(name, exercise))
