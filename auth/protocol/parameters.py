"""Parameters of an AUTH command and of userdb lookups: who asks, from where, over what."""

from __future__ import annotations

from dataclasses import dataclass, field

from .wire import fields_of, number


@dataclass(slots=True)
class Parameters:
    """What a client says about the connection a user is on; unknown parameters are skipped (Design/AuthProtocol).

    ``service`` is None until given. Ports are 0 and addresses "" when unknown.
    """

    service: str | None = None
    secured: str = ""
    nologin: bool = False
    no_penalty: bool = False
    final_resp_ok: bool = False
    valid_client_cert: bool = False
    cert_username: str = ""
    debug: bool = False
    lip: str = ""
    rip: str = ""
    lport: int = 0
    rport: int = 0
    real_lip: str = ""
    real_rip: str = ""
    real_lport: int = 0
    real_rport: int = 0
    local_name: str = ""
    session: str = ""
    client_id: str = ""
    forward: dict[str, str] = field(default_factory=dict)

    def set(self, word: str) -> bool:
        """Take one ``name=value`` word; False for a parameter that is not known."""
        name, _, value = word.partition("=")
        name = name.replace("-", "_")
        if name in _TEXTS:
            setattr(self, name, value)
        elif name in _FLAGS:
            setattr(self, name, True)
        elif name in _PORTS:
            port = number(value)
            if port is not None and port <= 65535:
                setattr(self, name, port)
        elif name == "secured":
            self.secured = value or "yes"
        elif name == "forward_fields":
            self.forward |= fields_of(value.split("\t"))
        else:
            return False
        return True

    def words(self) -> list[str]:
        """The parameters as words of an AUTH command."""
        words = [f"service={self.service or ''}"]
        if self.secured:
            words.append("secured" if self.secured == "yes" else f"secured={self.secured}")
        words += [name.replace("_", "-") for name in _FLAGS if getattr(self, name)]
        words += [f"{name}={getattr(self, name)}" for name in _TEXTS if name != "service" and getattr(self, name)]
        words += [f"{name}={getattr(self, name)}" for name in _PORTS if getattr(self, name)]
        if self.forward:
            words.append("forward_fields=" + "\t".join(f"{name}={value}" for name, value in self.forward.items()))
        return words


_TEXTS = ("service", "cert_username", "lip", "rip", "real_lip", "real_rip", "local_name", "session", "client_id")
_FLAGS = ("nologin", "no_penalty", "final_resp_ok", "valid_client_cert", "debug")
_PORTS = ("lport", "rport", "real_lport", "real_rport")
