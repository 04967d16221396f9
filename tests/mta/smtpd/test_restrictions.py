"""The restriction lists: each row is a configuration, a session and the verdict that Postfix gives."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mta.smtpd.dialogues import envelope

DNS = """
    2.0.0.127.in-addr.arpa PTR client.example.org
    client.example.org A 127.0.0.2
    3.0.0.127.in-addr.arpa PTR forged.example.org
    forged.example.org A 192.0.2.1
    4.0.0.127.in-addr.arpa SERVFAIL
    good.example A 192.0.2.2
    mailonly.example MX 10 mx.good.example
    mx.good.example A 192.0.2.3
    null.example MX 0 .
    broken.example SERVFAIL
"""

ALICE = "alice@example.com"
Case = tuple[str, str, int, str, str, str]


def case(
    settings: str, reply: str, host: int = 2, helo: str = "x", sender: str = "a@b.example", to: str = ALICE
) -> Case:
    """What is configured, what RCPT TO gets; the client is 127.0.0.`host`."""
    return settings, reply, host, helo, sender, to


VERDICTS = [
    # who may relay
    case(
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination", "250 *", host=1, to="x@far.example"
    ),
    case(
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
        "554 5.7.1 <x@far.example>: Relay access denied",
        to="x@far.example",
    ),
    case(
        "smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination",
        "454 4.7.1 <x@far.example>: Relay access denied",
        to="x@far.example",
    ),
    case("smtpd_relay_restrictions = permit_auth_destination, reject", "250 *"),
    case(
        "smtpd_relay_restrictions = permit_auth_destination, reject",
        "554 5.7.1 <x@far.example>: Recipient address rejected: Access denied",
        to="x@far.example",
    ),
    case("smtpd_relay_restrictions = permit_inet_interfaces, reject", "554 *", to="x@far.example"),
    # the client's name
    case("smtpd_client_restrictions = reject_unknown_client_hostname", "250 *"),
    case(
        "smtpd_client_restrictions = reject_unknown_client_hostname",
        "450 4.7.25 Client host rejected: cannot find your hostname, [127.0.0.3]",
        host=3,
    ),
    case("unknown_client_reject_code = 550\nsmtpd_client_restrictions = reject_unknown_client", "550 5.7.25 *", host=3),
    case("unknown_client_reject_code = 550\nsmtpd_client_restrictions = reject_unknown_client", "450 4.7.25 *", host=4),
    case("smtpd_client_restrictions = reject_unknown_reverse_client_hostname", "250 *", host=3),
    case(
        "smtpd_client_restrictions = reject_unknown_reverse_client_hostname",
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [127.0.0.5]",
        host=5,
    ),
    # HELO
    case(
        "smtpd_helo_restrictions = reject_invalid_helo_hostname",
        "501 5.5.2 <bad!name>: Helo command rejected: Invalid name",
        helo="bad!name",
    ),
    case(
        "smtpd_helo_restrictions = reject_invalid_hostname",
        "501 5.5.2 *: Helo command rejected: invalid ip address",
        helo="[999.1.1.1]",
    ),
    case(
        "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname",
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        helo="localhost",
    ),
    case("smtpd_helo_restrictions = reject_non_fqdn_hostname", "250 *", helo="a.example."),
    case(
        "smtpd_helo_restrictions = reject_unknown_helo_hostname",
        "450 4.7.1 <no.example>: Helo command rejected: Host not found",
        helo="no.example",
    ),
    case("smtpd_helo_restrictions = reject_unknown_hostname", "250 *", helo="mailonly.example"),
    # whichever list they stand in, these are about the HELO name and the sender, not about the recipient
    case(
        "smtpd_recipient_restrictions = reject_invalid_hostname",
        "501 5.5.2 <bad!name>: Helo command rejected: Invalid name",
        helo="bad!name",
    ),
    case(
        "smtpd_recipient_restrictions = reject_non_fqdn_hostname",
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        helo="localhost",
    ),
    case(
        "smtpd_recipient_restrictions = reject_unknown_helo_hostname",
        "450 4.7.1 <no.example>: Helo command rejected: Host not found",
        helo="no.example",
    ),
    case(
        "smtpd_recipient_restrictions = reject_non_fqdn_sender",
        "504 5.5.2 <a>: Sender address rejected: need fully-qualified address",
        sender="a",
    ),
    case(
        "smtpd_recipient_restrictions = reject_unknown_sender_domain",
        "450 4.1.8 <a@no.example>: Sender address rejected: Domain not found",
        sender="a@no.example",
    ),
    # the sender
    case(
        "smtpd_sender_restrictions = reject_non_fqdn_sender",
        "504 5.5.2 <a>: Sender address rejected: need fully-qualified address",
        sender="a",
    ),
    case("smtpd_sender_restrictions = reject_non_fqdn_sender", "250 *", sender=""),
    case("smtpd_sender_restrictions = reject_unknown_sender_domain", "250 *", sender="a@good.example"),
    case(
        "smtpd_sender_restrictions = reject_unknown_sender_domain",
        "450 4.1.8 <a@no.example>: Sender address rejected: Domain not found",
        sender="a@no.example",
    ),
    case(
        "smtpd_sender_restrictions = reject_unknown_sender_domain",
        "550 5.7.27 <a@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)",
        sender="a@null.example",
    ),
    case("smtpd_sender_restrictions = reject_unknown_sender_domain", "450 4.1.8 *", sender="a@broken.example"),
    case(
        "smtpd_reject_unlisted_sender = yes",
        "550 5.1.0 <nobody@example.com>: Sender address rejected: User unknown in local recipient table",
        sender="nobody@example.com",
    ),
    # the recipient
    case(
        "smtpd_recipient_restrictions = reject_non_fqdn_recipient",
        "504 5.5.2 <alice>: Recipient address rejected: need fully-qualified address",
        to="alice",
    ),
    case("smtpd_recipient_restrictions = reject_non_fqdn_recipient", "250 *", to="postmaster"),
    case(
        "smtpd_recipient_restrictions = reject_unknown_recipient_domain",
        "556 5.1.10 <x@null.example>: Recipient address rejected: Domain null.example does not accept mail (nullMX)",
        host=1,
        to="x@null.example",
    ),
    case(
        "show_user_unknown_table_name = no",
        "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown",
        to="nobody@example.com",
    ),
    case("smtpd_reject_unlisted_recipient = no", "250 *", to="nobody@example.com"),
    case("local_recipient_maps =", "250 *", to="nobody@example.com"),
    # pseudo restrictions
    case("smtpd_recipient_restrictions = warn_if_reject, reject", "250 *"),
    case(
        "smtpd_recipient_restrictions = warn_if_reject reject, defer",
        "450 4.3.2 <alice@example.com>: Recipient address rejected: Try again later",
    ),
    case(
        "smtpd_recipient_restrictions = defer_if_permit",
        "450 4.7.0 <alice@example.com>: Recipient address rejected: defer_if_permit requested",
    ),
    case("smtpd_sender_restrictions = defer_if_permit\nsmtpd_recipient_restrictions = reject", "554 5.7.1 *"),
    case(
        "smtpd_recipient_restrictions = defer_if_reject, reject",
        "450 4.7.0 <alice@example.com>: Recipient address rejected: defer_if_reject requested",
    ),
    case("smtpd_client_restrictions = reject_plaintext_session", "450 4.7.1 Session encryption is required"),
    # tables
    case(
        "smtpd_client_restrictions = check_client_access inline:{{127.0.0 = REJECT net}}",
        "554 5.7.1 <client.example.org[127.0.0.2]>: Client host rejected: net",
    ),
    case(
        "smtpd_client_restrictions = check_client_access inline:{{example.org = 550 5.7.9 named}}",
        "550 5.7.9 <client.example.org[127.0.0.2]>: Client host rejected: named",
    ),
    case("smtpd_client_restrictions = inline:{{client.example.org = DUNNO}, {127.0.0.2 = REJECT}}", "250 *"),
    case(
        "smtpd_helo_restrictions = inline:{{bad.example = REJECT}}",
        "554 5.7.1 <bad.example>: Helo command rejected: Access denied",
        helo="bad.example",
    ),
    case(
        "smtpd_sender_restrictions = inline:{{spam.example = REJECT}, {ok@spam.example = OK}}",
        "554 5.7.1 <x@sub.spam.example>: Sender address rejected: Access denied",
        sender="x@sub.spam.example",
    ),
    case(
        "smtpd_sender_restrictions = inline:{{spam.example = REJECT}, {ok@spam.example = OK}}",
        "250 *",
        sender="ok@spam.example",
    ),
    case(
        "smtpd_sender_restrictions = inline:{{<> = REJECT no bounces}}",
        "554 5.7.1 <>: Sender address rejected: no bounces",
        sender="",
    ),
    case(
        "smtpd_sender_restrictions = inline:{{user@ = DEFER later}}",
        "450 4.7.1 <user@b.example>: Sender address rejected: later",
        sender="user@b.example",
    ),
    case("smtpd_recipient_restrictions = check_recipient_access inline:{{alice@example.com = 1}}, reject", "250 *"),
    case(
        "smtpd_recipient_restrictions = inline:{{alice@example.com = permit_mynetworks, reject}}",
        "554 5.7.1 *",
    ),
    case(
        "smtpd_recipient_restrictions = check_recipient_access inline:{{alice@example.com = nonsense}}",
        "451 4.3.5 Server configuration error",
    ),
    case(
        "smtpd_recipient_restrictions = check_recipient_access fail:{on purpose}",
        "451 4.3.5 <alice@example.com>: Recipient address rejected: Server configuration error",
    ),
    case(
        "smtpd_restriction_classes = strict\nstrict = reject_unknown_sender_domain, reject\n"
        "smtpd_recipient_restrictions = check_recipient_access inline:{{alice@example.com = strict}}",
        "554 5.7.1 *",
        sender="a@good.example",
    ),
    case(
        "smtpd_sender_restrictions = check_sender_mx_access inline:{{mx.good.example = REJECT its mx}}",
        "554 5.7.1 <a@mailonly.example>: Sender address rejected: its mx",
        sender="a@mailonly.example",
    ),
    case(
        "smtpd_sender_restrictions = check_sender_a_access cidr:{{192.0.2.0/30 REJECT its address}}",
        "554 5.7.1 <a@good.example>: Sender address rejected: its address",
        sender="a@good.example",
    ),
    case(
        "smtpd_sender_restrictions = check_sender_a_access inline:{{192.0.2.9 = REJECT literal}}",
        "554 5.7.1 <a@[192.0.2.9]>: Sender address rejected: literal",
        sender="a@[192.0.2.9]",
    ),
    case("smtpd_sender_restrictions = check_sender_mx_access static:REJECT", "250 *", sender="a@[192.0.2.9]"),
    case("smtpd_helo_restrictions = check_helo_a_access static:REJECT", "250 *", helo="[nonsense"),
    # enhanced status codes that do not fit the subject
    *(
        case(f"smtpd_sender_restrictions = check_sender_access static:{{450 4.1.{given} no}}", f"450 4.1.{told} *")
        for given, told in enumerate((0, 7, 8, 7, 7, 0, 7, 7, 8, 0, 0))
    ),
    *(
        case(
            f"smtpd_recipient_restrictions = check_recipient_access static:{{550 5.1.{given} no}}", f"550 5.1.{told} *"
        )
        for given, told in enumerate((0, 1, 2, 3, 4, 5, 6, 3, 2, 0, 0))
    ),
    case("smtpd_helo_restrictions = check_helo_access static:{550 5.1.1 no}", "550 5.0.0 *"),
    # addresses without a domain, or with a part of one, are completed before they are looked at
    case("append_dot_mydomain = yes", "250 *", to="alice@mx"),
    case("myorigin = far.example", "454 4.7.1 <alice>: Relay access denied", to="alice"),
    case("myorigin = far.example\nsmtpd_client_restrictions = reject", "250 *", to="Postmaster"),
    # codes that are none for a refusal
    case("smtpd_recipient_restrictions = reject\nreject_code = 299", "450 4.7.1 Service unavailable"),
    # HELO names are ASCII, and those with a dot at the end are not looked up
    case("smtpd_helo_restrictions = reject_invalid_helo_hostname", "501 5.5.2 *", helo="b\u00fccher.example"),
    case("smtpd_helo_restrictions = reject_non_fqdn_helo_hostname", "504 5.5.2 *", helo="b\u00fccher.example"),
    case("smtpd_helo_restrictions = reject_unknown_helo_hostname", "250 *", helo="good.example"),
    case("smtpd_helo_restrictions = reject_unknown_helo_hostname", "450 4.7.1 *", helo="good.example."),
    # a step of receiving that is left out
    case("receive_override_options = no_unknown_recipient_checks", "250 *", to="nobody@example.com"),
    case(
        "smtpd_helo_restrictions = check_helo_mx_access inline:{{mx.good.example = OK}}",
        "451 4.3.5 Server configuration error",
        helo="mailonly.example",
    ),
]


@pytest.mark.parametrize(("settings", "reply", "host", "helo", "sender", "to"), VERDICTS)
async def test_verdict(start: Any, settings: str, reply: str, host: int, helo: str, sender: str, to: str) -> None:
    site = await start(settings, dns=DNS)
    await site.say(f"{envelope(sender, helo)}C: RCPT TO:<{to}>\nS: {reply}", source=f"127.0.0.{host}")
