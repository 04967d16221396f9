r"""smtpd_reject_footer: words of the site under every refusal, for people who read bounces."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mta.config import ExpandError, MainConfig, expand
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session


@dataclass(frozen=True, slots=True)
class Footer:
    """The template; `\\c` in front continues the reply's line, `\\n` begins a new one."""

    template: str = ""
    server: str = ""

    @classmethod
    def from_config(cls, config: MainConfig) -> Footer:
        return cls(config.raw("smtpd_reject_footer") or "", config.str("myhostname"))

    def add(self, session: Session, reply: Reply) -> Reply:
        """The reply with the footer; the reply alone if the template cannot be expanded."""
        peer = session.peer_info
        values = {
            "client": session.label,
            "client_address": peer.address,
            "client_name": peer.name,
            "client_port": str(peer.port),
            "helo_name": session.helo_name or "",
            "server_name": self.server,
            "server_address": session.local[0],
            "server_port": str(session.local[1]),
            "localtime": time.strftime("%b %d %H:%M:%S"),
        }
        template = self.template.replace("\\n", "\n")
        continues = template.startswith("\\c")
        try:
            text = expand.expand(template.removeprefix("\\c"), values.get)
        except ExpandError:
            return reply
        return Reply(reply.code, reply.status, reply.text + text if continues else f"{reply.text}\n{text}")
