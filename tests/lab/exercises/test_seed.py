"""Names, domains and passwords follow from the seed and from nothing else, and differ from student to student."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.exercises import seed as seeds

STUDENTS = [f"student {number}" for number in range(100)]


def test_answers_differ_between_students() -> None:
    made = [seeds.student_seed(b"k" * 32, student) for student in STUDENTS]
    answers = {tuple(seeds.names(seed, "12.1").values()) for seed in made}
    assert len(answers) == len(STUDENTS)
    assert len({seeds.password(seed, "12.1", "ada") for seed in made}) == len(STUDENTS)


def test_answers_differ_between_exercises_and_classes() -> None:
    one = seeds.student_seed(b"k" * 32, "Erika")
    assert seeds.names(one, "12.1") != seeds.names(one, "12.2")
    assert seeds.password(one, "12.1", "ada") != seeds.password(one, "12.2", "ada")
    assert one != seeds.student_seed(b"l" * 32, "Erika")
    assert one == seeds.student_seed(b"k" * 32, "Erika")


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20))
def test_names_are_good_names(seed: bytes, slug: str) -> None:
    names = seeds.names(seed, slug)
    assert len({names["user"], names["colleague"], names["partner"]}) == 3
    assert names["domain"] != names["partner_domain"]
    assert all(
        names[role].isascii() and names[role].islower() and names[role].isalpha() for role in ("user", "partner")
    )
    assert names["domain"].endswith(".example")
    assert len(seeds.password(seed, slug, names["user"])) >= 20
