r"""smtpd_reject_footer and smtpd_reject_footer_maps: words of the site under refusals, for people who read bounces."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from mta.config import ExpandError, MainConfig, expand
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session
from mta.tables import Maps, TableError, maps_of

log = logging.getLogger("postfix.smtpd")


@dataclass(frozen=True, slots=True)
class Footer:
    """The template; `\\c` in front continues the reply's line, `\\n` begins a new one."""

    template: str = ""
    server: str = ""
    maps: Maps = field(default_factory=lambda: Maps("smtpd_reject_footer_maps", []))
    """Templates by the whole reply, `550 5.1.1 text`; what they do not know gets the general one."""

    def __bool__(self) -> bool:
        return bool(self.template or self.maps)

    @classmethod
    def from_config(cls, config: MainConfig) -> Footer:
        """Raises ConfigErrors."""
        template = config.raw("smtpd_reject_footer") or ""
        return cls(template, config.str("myhostname"), maps_of(config, "smtpd_reject_footer_maps"))

    async def add(self, session: Session, reply: Reply) -> Reply:
        """The reply with the footer; the reply alone if there is none for it, or one that cannot be expanded."""
        template = await self._template(reply)
        if not template:
            return reply
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
        template = template.replace("\\n", "\n")
        continues = template.startswith("\\c")
        try:
            text = expand.expand(template.removeprefix("\\c"), values.get)
        except ExpandError:
            return reply
        return Reply(reply.code, reply.status, reply.text + text if continues else f"{reply.text}\n{text}")

    async def _template(self, reply: Reply) -> str:
        if self.maps:
            try:
                return await self.maps.lookup(str(reply)) or self.template
            except TableError as error:
                log.warning("%s", error)
        return self.template
