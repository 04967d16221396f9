"""How long results of probes count, when a new probe is due, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import ConfigErrors, MainConfig
from mta.verify.cache import IN_PROGRESS, Cache, CacheSettings, Entry, key_of
from mta.verify.protocol import Fate
from mta.verify.sender import probe_sender, without_time
from mta.verify.store import FileStore, MemoryStore, open_store

HOUR, DAY = 3600.0, 86400.0
GOOD, BAD, LATER = Fate.DELIVERABLE, Fate.UNDELIVERABLE, Fate.DEFERRED


class World:
    """A cache with a clock."""

    def __init__(self, settings: CacheSettings | None = None) -> None:
        self.now = 1_800_000_000.0
        self.store = MemoryStore()
        self.cache = Cache(self.store, settings or CacheSettings(), lambda: self.now)

    def ask(self, address: str = "a@b.example") -> tuple[Fate, str, bool]:
        entry, wanted = self.cache.ask(address)
        return entry.fate, entry.text, wanted


def test_an_unknown_address_is_probed_once() -> None:
    world = World()
    assert world.ask() == (Fate.UNKNOWN, IN_PROGRESS, True)
    assert world.ask() == (Fate.UNKNOWN, IN_PROGRESS, False)
    world.now += 1001
    assert world.ask() == (Fate.UNKNOWN, IN_PROGRESS, True)


@pytest.mark.parametrize(
    ("fate", "refresh", "expire"), [(GOOD, 7 * DAY, 31 * DAY), (BAD, 3 * HOUR, 3 * DAY), (LATER, 3 * HOUR, 3 * DAY)]
)
def test_a_result_counts_until_it_expires_and_is_probed_again_before(fate: Fate, refresh: float, expire: float) -> None:
    world = World()
    world.ask()
    world.cache.note("a@b.example", fate, "said")
    world.now += refresh
    assert world.ask() == (fate, "said", False)
    world.now += 1
    assert world.ask() == (fate, "said", True)
    assert world.ask() == (fate, "said", False)  # that probe is under way
    world.now += expire - refresh
    assert world.ask() == (Fate.UNKNOWN, IN_PROGRESS, True)


def test_what_was_good_stays_good_until_it_expires() -> None:
    world = World()
    world.cache.note("a@b.example", GOOD, "fine")
    world.now += 8 * DAY
    assert world.ask() == (GOOD, "fine", True)
    world.cache.note("a@b.example", BAD, "gone")
    assert world.ask()[0] is GOOD
    world.now += 24 * DAY
    world.cache.note("a@b.example", BAD, "gone")
    assert world.ask() == (BAD, "gone", False)


def test_without_a_negative_cache_only_good_news_is_kept() -> None:
    world = World(CacheSettings(negative_cache=False))
    assert world.ask()[2]
    assert world.ask()[2]  # not even the question is remembered
    world.cache.note("a@b.example", BAD, "gone")
    assert world.ask()[0] is Fate.UNKNOWN
    world.cache.note("a@b.example", GOOD, "fine")
    assert world.ask() == (GOOD, "fine", False)


def test_cleaning_drops_what_has_expired() -> None:
    world = World()
    world.cache.note("bad@b.example", BAD, "gone")
    world.cache.note("good@b.example", GOOD, "fine")
    world.store.put("torn", "x:y")
    world.now += 4 * DAY
    world.cache.clean()
    assert [key for key, _ in world.store.items()] == ["good@b.example"]


@given(st.builds(Entry, st.sampled_from(Fate), st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1), st.text()))
def test_entries_come_back_from_their_text(entry: Entry) -> None:
    assert Entry.parse(str(entry)) == entry


@given(st.text())
def test_other_text_is_no_entry(text: str) -> None:
    entry = Entry.parse(text)
    assert entry is None or str(entry).split(":")[0] in "0123"


def test_a_key_has_no_colon() -> None:
    assert key_of("a@[IPv6:::1]") == "a@[IPv6___1]"


def config(tmp_path: Path, **settings: str) -> MainConfig:
    lines = [f"{name} = {value}" for name, value in {"compatibility_level": "3.6", **settings}.items()]
    (tmp_path / "main.cf").write_text("\n".join(lines) + "\n")
    return MainConfig.load(tmp_path)


@pytest.mark.parametrize("kind", ["btree", "hash", "lmdb", "proxy:btree"])
def test_the_file_survives_and_forgets_what_it_is_told_to(tmp_path: Path, kind: str) -> None:
    setting = {"address_verify_map": f"{kind}:{tmp_path}/verify_cache"}
    store = open_store(config(tmp_path, **setting))
    assert store.get("a@b.example") is None
    assert list(store.items()) == []
    store.delete("a@b.example")
    store.put("a@b.example", "0:0:1:fine")
    store.put("A@b.example", "2:0:2:gone")
    again = open_store(config(tmp_path, **setting))
    assert again.get("a@b.example") == "2:0:2:gone"
    assert (tmp_path / "verify_cache.lmdb").stat().st_mode & 0o777 == 0o600
    again.delete("a@b.example")
    assert list(again.items()) == []


def test_other_tables_cannot_be_written(tmp_path: Path) -> None:
    assert isinstance(open_store(config(tmp_path)), FileStore)
    assert isinstance(open_store(config(tmp_path, address_verify_map="")), MemoryStore)
    with pytest.raises(ConfigErrors, match="a table that can be written"):
        open_store(config(tmp_path, address_verify_map="regexp:/x"))


def test_the_sender_of_probes_changes_with_its_time(tmp_path: Path) -> None:
    fixed = config(tmp_path, myhostname="mx.example.com")
    assert probe_sender(fixed, 0) == probe_sender(fixed, 1e9) == "double-bounce@mx.example.com"
    assert probe_sender(config(tmp_path, address_verify_sender="<>"), 0) == ""
    moving = config(tmp_path, address_verify_sender="probe@example.com", address_verify_sender_ttl="1h")
    first, later = probe_sender(moving, 1_800_000_000), probe_sender(moving, 1_800_000_000 + HOUR)
    assert first != later
    assert first.startswith("probe")
    assert first.endswith("@example.com")
    assert without_time(moving, first.upper(), 1_800_000_000 + HOUR) == "probe@example.com"
    assert without_time(moving, first, 1_800_000_000 + 3 * HOUR) == first
    assert without_time(moving, "x@example.com", 1_800_000_000) == "x@example.com"
    assert without_time(fixed, "double-bounce@mx.example.com", 0) == "double-bounce@mx.example.com"
