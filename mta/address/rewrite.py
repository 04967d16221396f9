"""Address rewriting to canonical form, as trivial-rewrite(8) does it before anything else looks at an address."""

import re
from dataclasses import dataclass, replace
from typing import Final

from mta.address.quoting import quote_822, unquote_822
from mta.address.tokens import Kind, Token, Tokens, find, find_last, internalize, scan
from mta.config import MainConfig

COMPLETE: Final = re.compile(r"[A-Za-z0-9_=][A-Za-z0-9_+=.-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+")
"""Addresses that rewriting leaves as they are, whatever its parameters say: nearly all."""


@dataclass(frozen=True)
class Rewriter:
    """The rules; origin and domain may be empty, then nothing is appended.

    Two contexts exist: "local" for mail from this system's own clients, "remote" for all other (a different
    domain is appended there, remote_header_rewrite_domain, usually none).
    """

    origin: str
    domain: str
    remote_domain: str = ""
    append_at_myorigin: bool = True
    append_dot_mydomain: bool = False
    swap_bangpath: bool = True
    allow_percent_hack: bool = True

    @classmethod
    def of(cls, config: MainConfig) -> "Rewriter":
        """The rules that main.cf gives."""
        return cls(
            config.str("myorigin"),
            config.str("mydomain"),
            config.str("remote_header_rewrite_domain"),
            config.bool("append_at_myorigin"),
            config.bool("append_dot_mydomain"),
            config.bool("swap_bangpath"),
            config.bool("allow_percent_hack"),
        )

    def rewrite(self, address: str, context: str = "local") -> str:
        """The canonical form of an internal address, in internal form. An empty address stays empty."""
        if not address or COMPLETE.fullmatch(address):
            return address
        return unquote_822(self.rewrite_external(quote_822(address), context))

    def rewrite_external(self, address: str, context: str = "local") -> str:
        """The same for an external (quoted) address, with the result in external form."""
        tokens = scan(address)
        return quote_822(internalize(self.rewrite_tokens(tokens, context))) if tokens else address

    def rewrite_tokens(self, tokens: Tokens, context: str = "local") -> Tokens:
        """The same for tokens as scan() gives them."""
        rules = self if context == "local" else replace(self, origin=self.remote_domain, domain=self.remote_domain)
        return rules._rewrite(tokens)

    def _rewrite(self, tokens: Tokens) -> Tokens:
        if not tokens or (len(tokens) == 1 and tokens[0].kind is Kind.QUOTED and not tokens[0].text):
            return tokens
        if len(tokens) == 1 and tokens[0].is_operator("@"):
            return [Token(Kind.QUOTED, "")]
        tokens = self._with_domain(_without_route(tokens))
        return _without_trailing_dot(self._with_full_domain(tokens))

    def _with_domain(self, tokens: Tokens) -> Tokens:
        """Turn `site!user` and `user%site` into `user@site`; append the origin to what is still without a domain."""
        if find(tokens, "@") >= 0:
            return tokens
        if self.swap_bangpath and (bang := find(tokens, "!")) >= 0:
            return [*tokens[bang + 1 :], _operator("@"), *tokens[:bang]]
        if self.allow_percent_hack and (percent := find_last(tokens, "%")) >= 0:
            return [*tokens[:percent], _operator("@"), *tokens[percent + 1 :]]
        if self.append_at_myorigin and self.origin:
            return [*tokens, _operator("@"), *scan(self.origin)]
        return tokens

    def _with_full_domain(self, tokens: Tokens) -> Tokens:
        """Append the domain to `user@host`; leave literals, dotted names and a missing domain alone."""
        at = find_last(tokens, "@")
        if not (self.append_dot_mydomain and self.domain) or at < 0 or at == len(tokens) - 1:
            return tokens
        host = tokens[at:]
        if find(host, ".") >= 0 or any(token.kind is Kind.LITERAL for token in host):
            return tokens
        return [*tokens, _operator("."), *scan(self.domain)]


def _operator(character: str) -> Token:
    return Token(Kind.OPERATOR, character)


def _without_route(tokens: Tokens) -> Tokens:
    """Strip `@relay,@relay:` in front of an address (RFC 5321 appendix C)."""
    if tokens[0].is_operator("@"):
        colon = find(tokens, ":")
        if 0 <= colon < len(tokens) - 1:
            return tokens[colon + 1 :]
    return tokens


def _without_trailing_dot(tokens: Tokens) -> Tokens:
    """Strip one dot at the end of a domain; leave `..` and `@.` for diagnostics."""
    if len(tokens) > 1 and tokens[-1].is_operator(".") and tokens[-2].text not in (".", "@"):
        return tokens[:-1]
    return tokens
