"""The parameter reference: a Markdown page made from the table of parameters."""

import sys
from collections.abc import Iterable, Sequence

from mta.config.effect import WITHOUT_EFFECT, is_needless
from mta.config.parameter import Kind, Parameter
from mta.config.parameters import PARAMETERS

HEAD = """# Parameters of main.cf

Names, defaults and meaning are Postfix 3.7's; names that begin with `hardmail_` are hardmail's own. Every parameter is
described at length in postconf(5); the manual page named here is that of the program that uses it. This page is made
by `python -m mta.config.reference > docs/parameters.md` from the table in `mta/config/parameters`.

A *time* is a number with a unit (`s`, `m`, `h`, `d`, `w`); without one it has the unit of the default. For every
transport `foo` of master.cf there are also `foo_destination_concurrency_limit` and its like.

Behind a meaning, *no effect* says that hardmail reads and shows the parameter and does not do what it asks for:
`hardmail check` warns of it. *Not needed* says that it is for something that hardmail does not have, or does anyway.
"""


def markdown(parameters: Iterable[Parameter] = PARAMETERS.values()) -> str:
    """The page: one row for each parameter, grouped by manual page."""
    groups = dict[str, list[Parameter]]()
    for parameter in parameters:
        groups.setdefault(parameter.page, []).append(parameter)
    parts = [HEAD]
    for page in sorted(groups):
        parts.append(f"## {_manual(page)}\n")
        parts.append("| parameter | type | default | meaning | behaviours |\n|---|---|---|---|---|")
        parts.extend(_row(parameter) for parameter in sorted(groups[page], key=lambda parameter: parameter.name))
        parts.append("")
    return "\n".join(parts)


def _manual(page: str) -> str:
    name, _, section = page.rpartition(".")
    return f"{name}({section})" if name else page


def _row(parameter: Parameter) -> str:
    kind = parameter.kind.value if parameter.kind is not Kind.RAW else "text, not expanded"
    default = f"`{_cell(parameter.default)}`" if parameter.default else "empty"
    slugs = ", ".join(parameter.serves)
    return f"| `{parameter.name}` | {kind} | {default} | {_cell(parameter.meaning)}{_effect(parameter)} | {slugs} |"


def _effect(parameter: Parameter) -> str:
    if parameter.name in WITHOUT_EFFECT:
        return " *No effect.*"
    return " *Not needed.*" if is_needless(parameter.name) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(_argv: Sequence[str] = ()) -> int:
    """Print the page."""
    sys.stdout.write(markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
