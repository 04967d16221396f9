"""Own addresses and mynetworks."""

import ipaddress

import pytest

from mta.config.interfaces import local_interfaces, networks, own_interfaces, protocols

SAMPLE = [ipaddress.ip_interface(text) for text in ("127.0.0.1/8", "192.0.2.2/26", "10.9.8.7/24", "fd00::2/64")]


def test_the_kernel_tells_of_the_loopback_address() -> None:
    assert ipaddress.ip_interface("127.0.0.1/8") in local_interfaces()


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("host", "127.0.0.1/32 192.0.2.2/32 10.9.8.7/32 [fd00::2]/128"),
        ("subnet", "127.0.0.0/8 192.0.2.0/26 10.9.8.0/24 [fd00::]/64"),
        ("class", "127.0.0.0/8 192.0.2.0/24 10.0.0.0/8 [fd00::]/64"),
    ],
)
def test_mynetworks_styles(style: str, expected: str) -> None:
    assert networks(style, SAMPLE) == expected


@pytest.mark.parametrize("style", ["", "host, subnet", "net"])
def test_bad_styles(style: str) -> None:
    with pytest.raises(ValueError, match="bad mynetworks_style"):
        networks(style, SAMPLE)


def test_repeated_networks_are_named_once() -> None:
    twice = [ipaddress.ip_interface("10.0.0.1/24"), ipaddress.ip_interface("10.0.0.2/24")]
    assert networks("subnet", twice) == "10.0.0.0/24"


def test_loopback_only() -> None:
    assert all(item.is_loopback for item in own_interfaces(["loopback-only"], ["ipv4"]))


def test_any_loopback_address_is_the_hosts_own() -> None:
    assert [str(item.ip) for item in own_interfaces(["127.0.0.9", "[127.0.0.1]"], ["ipv4"])] == [
        "127.0.0.9",
        "127.0.0.1",
    ]


def test_foreign_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no local interface found for 192\.0\.2\.254"):
        own_interfaces(["192.0.2.254"], ["all"])


def test_protocols() -> None:
    assert protocols(["ipv4"]) == (True, False)
    assert protocols(["all"])[0] is True
    with pytest.raises(ValueError, match="ipv5"):
        protocols(["ipv5"])
