"""The system's table of host names, hosts(5), for lookups that Postfix makes through the system's resolver."""

import ipaddress
from pathlib import Path

# A larger file is no table of host names.
HOSTS_LIMIT = 1 << 20


class Hosts:
    """Names and addresses of a hosts(5) file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._by_name: dict[str, list[str]] = {}
        self._by_address: dict[str, str] = {}

    def addresses(self, name: str) -> list[str]:
        """The addresses of a name, in file order."""
        self._refresh()
        return list(self._by_name.get(name.rstrip(".").lower(), ()))

    def name(self, address: str) -> str | None:
        """The first name of an address."""
        self._refresh()
        try:
            return self._by_address.get(str(ipaddress.ip_address(address)))
        except ValueError:
            return None

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp or status.st_size > HOSTS_LIMIT:
                return
            text = self.path.read_bytes().decode("utf-8", "replace")
        except OSError:
            return
        self._stamp = stamp
        self._by_name, self._by_address = parse_hosts(text)


def parse_hosts(text: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """hosts(5) text as (name to addresses, address to first name). Lines that are none are skipped."""
    by_name, by_address = dict[str, list[str]](), dict[str, str]()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = str(ipaddress.ip_address(words[0]))
        except ValueError:
            continue
        by_address.setdefault(address, words[1])
        for name in words[1:]:
            known = by_name.setdefault(name.lower(), [])
            if address not in known:
                known.append(address)
    return by_name, by_address
