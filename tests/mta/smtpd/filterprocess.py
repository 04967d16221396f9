"""An after-queue content filter as FILTER_README draws it: SMTP in, a header added, SMTP out; then, and only then, 250.

python filterprocess.py PORT NEXT_PORT      says the port that it listens on; 0 lets the kernel choose
"""

from __future__ import annotations

import smtplib
import socketserver
import sys


class Session(socketserver.StreamRequestHandler):
    """One client."""

    def handle(self) -> None:
        self.say("220 filter")
        sender, recipients = "", list[str]()
        for line in self.rfile:
            command = line.decode().strip()
            verb, _, rest = command.partition(":")
            match verb.upper().split()[0]:
                case "EHLO":
                    self.say("250-filter\r\n250 PIPELINING")
                case "MAIL":
                    sender, recipients = rest.split(">")[0].strip(" <"), []
                    self.say("250 2.1.0 Ok")
                case "RCPT":
                    recipients.append(rest.split(">")[0].strip(" <"))
                    self.say("250 2.1.5 Ok")
                case "DATA":
                    self.say("354 go on")
                    self.pass_on(sender, recipients, self.content())
                    self.say("250 2.0.0 filtered")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 2.0.0 Ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def pass_on(self, sender: str, recipients: list[str], content: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", int(sys.argv[2]), "filter.example") as next_hop:
            next_hop.sendmail(sender, recipients, b"X-Filtered: yes\r\n" + content)


class Server(socketserver.ThreadingTCPServer):
    """Many clients; starts again at once on the port of one that was killed."""

    allow_reuse_address = daemon_threads = True


with Server(("127.0.0.1", int(sys.argv[1])), Session) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
