"""Texts in English and German, and which of the two a person wants to read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

LANGUAGES = ("en", "de")
# In the order in which setlocale(3) asks them for the language of messages.
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


@dataclass(frozen=True, slots=True)
class Text:
    """The same in both languages; `{name}` stands for a fact that is known later."""

    en: str
    de: str

    def of(self, language: str, facts: Mapping[str, object] | None = None) -> str:
        """The text in that language, with the facts in it."""
        text = self.de if language == "de" else self.en
        return text if facts is None else text.format_map(facts)

    def given(self, **facts: object) -> Text:
        """The text with the facts in it, in both languages."""
        return Text(self.en.format_map(facts), self.de.format_map(facts))


def language(wanted: str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """`wanted` if it is given, else the language of the locale: the first of LC_ALL, LC_MESSAGES, LANG that is set."""
    if wanted:
        return wanted
    locale = next((environment[name] for name in LOCALE_VARIABLES if environment.get(name)), "")
    return "de" if locale.partition("_")[0].partition(".")[0] == "de" else "en"
