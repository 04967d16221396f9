"""The generated reference page."""

from pathlib import Path

from mta.config import PARAMETERS
from mta.config.reference import markdown


def test_every_parameter_has_a_row_of_five_cells() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(PARAMETERS)
    for row in rows:
        assert row.replace("\\|", "").count("|") == 6, row


def test_a_row_tells_everything() -> None:
    assert "| `smtpd_tls_auth_only` | yes or no | `no` | No log-in without TLS. | auth-only-over-tls |" in markdown()


def test_what_has_no_effect_is_marked() -> None:
    rows = {line.split("`")[1]: line for line in markdown().splitlines() if line.startswith("| `")}
    assert "*No effect.*" in rows["tls_wildcard_matches_multiple_labels"]
    assert "*Not needed.*" in rows["shlib_directory"]
    assert "*" not in rows["smtpd_tls_auth_only"]


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "parameters.md"
    assert page.read_text() == markdown(), "python -m mta.config.reference > docs/parameters.md"
