"""What a guest's counts prove."""

import pytest

from corral.lab.counting import Count, largest_gap_s, largest_pause_s, ran_through, take_counts

RAN = [  # name, counts as (number, uptime, heard), ran through, longest pause
    ("steady", [(1, 5.0, 100.0), (2, 5.1, 100.1), (3, 5.2, 100.2)], True, 0.0),
    ("paused for a second", [(1, 5.0, 100.0), (2, 5.1, 101.1)], True, 1.0),
    ("some not heard, no pause", [(1, 5.0, 100.0), (11, 6.0, 101.0)], True, 0.0),
    ("some not heard, and a pause", [(1, 5.0, 100.0), (11, 6.0, 101.5)], True, 0.5),
    ("started anew", [(9, 9.0, 100.0), (1, 2.0, 110.0)], False, None),
    ("said twice", [(9, 9.0, 100.0), (9, 9.0, 100.1)], False, None),
    ("nothing heard", [], True, 0.0),
]


@pytest.mark.parametrize(("counts", "through", "pause"), [pytest.param(*r[1:], id=r[0]) for r in RAN])
def test_ran_through(counts: list[tuple[int, float, float]], through: bool, pause: float | None) -> None:
    heard = [Count(*c) for c in counts]
    assert ran_through(heard) is through
    if pause is not None:
        assert largest_pause_s(heard) == pytest.approx(pause)


def test_largest_gap_is_the_longest_silence() -> None:
    assert largest_gap_s([Count(1, 1.0, 10.0), Count(2, 1.1, 10.1), Count(9, 1.9, 10.9)]) == pytest.approx(
        0.8
    )
    assert largest_gap_s([]) == 0.0


def test_take_counts_keeps_the_unfinished_line() -> None:
    counts, rest = take_counts(b"/ # count 7 12.34\r\nnoise\ncount 8 12.44\ncount 9 1", 1.5)
    assert [c.number for c in counts] == [7, 8] and counts[0] == Count(7, 12.34, 1.5)
    assert rest == b"count 9 1"
    more, rest = take_counts(rest + b"2.54\r\n", 1.6)
    assert [c.uptime_s for c in more] == [12.54] and rest == b""
