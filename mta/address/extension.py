"""Address extensions: what recipient_delimiter splits off a local part, and what it leaves whole."""

from dataclasses import dataclass

from mta.config import MainConfig


@dataclass(frozen=True)
class Extensions:
    """The rules of recipient_delimiter(5 postconf). delimiters: the set of characters; empty: nothing is split."""

    delimiters: str = ""
    double_bounce: str = "double-bounce"
    owner_request_special: bool = True

    @classmethod
    def of(cls, config: MainConfig) -> "Extensions":
        """The rules that main.cf gives."""
        return cls(
            config.str("recipient_delimiter"),
            config.str("double_bounce_sender"),
            config.bool("owner_request_special"),
        )

    def split_local(self, local: str) -> tuple[str, str]:
        """(`user`, `+ext`) of a local part; the delimiter stays with the extension; ("user", "") when there is none."""
        lowered = local.lower()
        if not self.delimiters or lowered in ("postmaster", "mailer-daemon", self.double_bounce.lower()):
            return local, ""
        if "-" in self.delimiters and self.owner_request_special and _is_list_role(lowered):
            return local, ""
        end = next((i for i, c in enumerate(local) if c in self.delimiters), 0)
        return (local[:end], local[end:]) if end else (local, "")

    def split(self, address: str) -> tuple[str, str]:
        """(`user@domain`, `+ext`) of an internal address."""
        local, at, domain = address.rpartition("@")
        if not at:
            local, domain = address, ""
        user, extension = self.split_local(local)
        return f"{user}{at}{domain}", extension


def _is_list_role(local: str) -> bool:
    return local.startswith("owner-") or (local.endswith("-request") and len(local) > len("-request"))
