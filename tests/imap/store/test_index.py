"""The index database: made by several sessions at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

from imap.store.index import Index
from imap.store.jail import Directory


@contextmanager
def opened(place: Path) -> Iterator[Index]:
    directory = Directory.root(place)
    index = Index(directory)
    yield index
    index.close()
    directory.close()


def test_sessions_make_the_index_of_a_new_user_together(tmp_path: Path) -> None:
    together = Barrier(6)

    def open_and_write(place: Path) -> None:
        together.wait(timeout=30)
        with opened(place) as index, index.write() as connection:
            connection.execute("INSERT INTO cache VALUES (1, (SELECT count(*) FROM cache), 'key', x'')")

    for number in range(50):
        place = tmp_path / str(number)
        place.mkdir()
        with ThreadPoolExecutor(6) as sessions:
            list(sessions.map(open_and_write, [place] * 6))
        with opened(place) as index:
            assert index.connection.execute("SELECT count(*) FROM cache").fetchone() == (6,)
