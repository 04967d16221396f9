"""The generated reference page."""

from mta.config import PARAMETERS
from mta.config.reference import markdown


def test_every_parameter_has_a_row_of_five_cells() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(PARAMETERS)
    for row in rows:
        assert row.replace("\\|", "").count("|") == 6, row


def test_a_row_tells_everything() -> None:
    assert "| `smtpd_tls_auth_only` | yes or no | `no` | No log-in without TLS. | auth-only-over-tls |" in markdown()
