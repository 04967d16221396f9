"""Lists of tables, and their mistakes in main.cf."""

from pathlib import Path

import pytest

from mta.config import ConfigErrors, MainConfig
from mta.tables import TableError, check_tables, maps_of, open_maps


def config(tmp_path: Path, text: str = "") -> MainConfig:
    (tmp_path / "main.cf").write_text(f"compatibility_level = 3.6\n{text}")
    return MainConfig.load(tmp_path)


async def test_the_first_answer_counts(tmp_path: Path) -> None:
    maps = open_maps("inline:{a=1}, inline:{a=2, b=3} static:rest", config(tmp_path))
    assert [await maps.lookup(key) for key in ("a", "b", "c", "")] == ["1", "3", "rest", None]
    assert maps
    assert not open_maps("", config(tmp_path))


async def test_pattern_tables_do_not_see_parts(tmp_path: Path) -> None:
    maps = open_maps("regexp:{{/./ pattern}} inline:{user=exact}", config(tmp_path))
    assert await maps.lookup("user") == "pattern"
    assert await maps.lookup("user", partial=True) == "exact"


async def test_a_failing_table_hides_those_behind_it(tmp_path: Path) -> None:
    maps = open_maps("inline:{a=1} fail:x inline:{b=2}", config(tmp_path))
    assert await maps.lookup("a") == "1"
    with pytest.raises(TableError):
        await maps.lookup("b")


async def test_an_empty_answer_is_an_error_not_a_miss(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="empty result"):
        await open_maps("inline:{a=}", config(tmp_path)).lookup("a")


def test_mistakes_name_parameter_file_and_line(tmp_path: Path) -> None:
    broken = config(tmp_path, "virtual_alias_maps = inline:{a=b},\n  foo:bar\ntransport_maps = inline:{\n")
    with pytest.raises(ConfigErrors) as caught:
        maps_of(broken, "virtual_alias_maps")
    assert str(caught.value) == f"{tmp_path}/main.cf, line 2: virtual_alias_maps: unsupported dictionary type: foo"
    assert [error.where.line for error in check_tables(broken)] == [2, 4]


def test_words_of_proxy_read_maps_that_are_no_tables_are_no_mistakes(tmp_path: Path) -> None:
    lists = "smtpd_sender_restrictions = permit_mynetworks, check_sender_access inline:{a=OK}\n"
    assert check_tables(config(tmp_path, f"{lists}proxy_read_maps = $smtpd_sender_restrictions\n")) == []


async def test_relative_names_are_in_the_queue_directory(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("a b\n")
    found = maps_of(
        config(tmp_path, f"queue_directory = {tmp_path}\ntransport_maps = texthash:table\n"), "transport_maps"
    )
    assert await found.lookup("a") == "b"
