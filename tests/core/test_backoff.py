from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.core.backoff import Backoff

chances = st.floats(0, 1, exclude_max=True)


def test_after_no_failure_there_is_no_wait():
    assert Backoff().delay(0, lambda: 0.5) == 0.0


def test_each_failure_doubles_the_wait_up_to_the_cap():
    backoff = Backoff(first=1, cap=10)
    assert [backoff.delay(n, lambda: 1.0) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@given(st.integers(1, 10_000), chances)
def test_a_wait_lies_in_the_upper_half_of_its_bound_however_many_failures(failures, chance):
    backoff = Backoff(first=0.25, cap=30)
    most = min(30, 0.25 * 2 ** min(failures - 1, 20))
    assert most / 2 <= backoff.delay(failures, lambda: chance) <= most


@given(st.integers(1, 100))
def test_clients_that_failed_together_do_not_come_back_together(failures):
    backoff = Backoff()
    assert backoff.delay(failures, lambda: 0.0) < backoff.delay(failures, lambda: 0.9)
