"""How fast and how often: buckets, round trips, losses, turns, and one host's way through them."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.target import MOST_OPEN, Path, Ports, Target
from mooring.discovery.scan.timing import LEAST_WAIT, MOST_WAIT, Loss, RoundTrip
from mooring.discovery.scan.turns import Turns

IP = ipaddress.ip_address("10.0.0.5")


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([1.0, 10.0, 50.0, 200.0, 5000.0]),
    st.lists(
        st.tuples(st.floats(0.0001, 0.3), st.just(0.0) | st.floats(0, 0.002) | st.floats(0, 0.2)),
        min_size=5,
        max_size=100,
    ),
    st.integers(1, 1000),
)
def test_a_bucket_gives_no_tenth_of_a_second_and_no_second_more_than_its_rate(
    rate: float, steps: list[tuple[float, float]], greed: int
) -> None:
    """Also where a sender is held up between its look and the packet."""
    now = 100.0
    bucket = Bucket(rate, now)
    given_at: list[float] = []
    for step, held_up in steps:
        count = min(greed, bucket.available(now))
        now += held_up
        bucket.sent(count, now)
        given_at += [now] * count
        now += step
    for window in (0.1, 1.0):
        for start in set(given_at):
            seen = sum(start <= at < start + window for at in given_at)
            assert seen <= max(1, rate * window)


def test_a_sender_that_was_held_up_makes_up_for_nothing() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.sent(bucket.available(0.0), 0.05)
    assert bucket.available(0.05) == 0
    assert bucket.available(0.0525) == 2


def test_a_bucket_that_is_waited_for_gives_what_was_wished() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.take(bucket.available(0.0))
    assert bucket.available(0.0) == 0
    wait = bucket.ready_in(5)
    assert 0 < wait < 0.01
    assert bucket.available(wait + 1e-6) == 5


def test_a_bucket_slows_down_and_comes_back_but_never_beyond_its_rate() -> None:
    bucket = Bucket(1000, 0.0)
    full = bucket.pace
    for _ in range(20):
        bucket.slower(least=100)
    assert 0 < bucket.pace <= 100
    for _ in range(20):
        bucket.faster()
    assert bucket.pace == full


def test_the_wait_follows_the_round_trips_within_its_limits() -> None:
    trip = RoundTrip()
    for _ in range(50):
        trip.observe(0.0002)
    assert trip.wait == LEAST_WAIT
    for _ in range(100):
        trip.observe(0.4)
    assert 0.4 < trip.wait < 0.6
    for _ in range(100):
        trip.observe(30.0)
    assert trip.wait == MOST_WAIT


@pytest.mark.parametrize(("late", "tries"), [(0, 2), (20, 3), (100, 5), (900, 8)])
def test_the_more_is_lost_the_more_often_a_silent_port_is_asked(late: int, tries: int) -> None:
    loss = Loss()
    for number in range(1000):
        loss.observe(2 if number < late else 1)
    assert loss.tries() == tries


def test_where_nothing_is_known_of_losses_it_is_asked_as_if_two_in_a_hundred_were_lost() -> None:
    assert Loss().tries() == 3


@settings(deadline=None)
@given(st.integers(0, 300), st.floats(0.0, 0.9), st.integers(1, 5), st.integers(0, 1000))
def test_each_place_is_asked_until_it_answers_or_as_often_as_it_shall(
    count: int, lost: float, tries: int, seed: int
) -> None:
    chance = random.Random(seed)
    turns = Turns(count)
    asked = [0] * count
    answered: set[int] = set()
    now = 0.0
    while not turns.done:
        attempt, places = turns.take(chance.randint(1, 50))
        sent = chance.randint(0, len(places)) if chance.random() < 0.3 else len(places)
        for place in places[:sent]:
            asked[place] += 1
            assert asked[place] == attempt
            assert place not in answered
            if chance.random() >= lost:
                assert turns.answered(place)
                assert not turns.answered(place)
                answered.add(place)
        turns.sent(attempt, places[:sent], now)
        turns.unsent(attempt, places[sent:])
        now += chance.random() * 0.2
        turns.expire(now, 0.1, tries)
    assert turns.settled == count
    for place in range(count):
        assert place in answered or asked[place] == tries


def test_a_thing_is_waited_for_longer_with_each_try() -> None:
    turns = Turns(1)
    turns.sent(*turns.take(5), now=0.0)
    assert turns.next_expiry(0.1) == pytest.approx(0.1)
    turns.expire(0.11, 0.1, 3)
    turns.sent(*turns.take(5), now=0.2)
    assert turns.next_expiry(0.1) == pytest.approx(0.4)
    turns.expire(0.35, 0.1, 3)
    assert not turns.has_more


def test_after_the_last_try_it_is_waited_for_no_longer_than_is_wished() -> None:
    turns = Turns(1, last_wait=1)
    turns.sent(*turns.take(5), now=0.0)
    turns.expire(0.1, 0.1, 2)
    turns.sent(*turns.take(5), now=0.1)
    assert turns.next_expiry(0.1, 2) == pytest.approx(0.2)
    assert turns.next_expiry(0.1, 3) == pytest.approx(0.3)
    turns.expire(0.21, 0.1, 2)
    assert turns.done


class World:
    """A host and a network that loses and delays, on a clock of its own."""

    def __init__(
        self,
        says: Callable[[int], bool | None],
        *,
        ports: int = 1000,
        lost: float = 0.0,
        delay: float = 0.001,
        resets: float | None = None,
    ) -> None:
        """``says``: a port is open, closed or silent. ``resets``: so many a second, no more."""
        self.chance = random.Random(7)
        self.path = Path()
        self.target = Target(IP, Ports(range(1, ports + 1)), self.path, 5000, 0.0)
        self.now = 0.0
        self.sent = 0
        self._says, self._lost, self._delay = says, lost, delay
        self._resets, self._reset_at = resets, 0.0
        self._coming: list[tuple[float, int, bool, int, float]] = []

    def run(self) -> list[int]:
        target = self.target
        while not target.turns.done:
            for answer in [one for one in self._coming if one[0] <= self.now]:
                self._coming.remove(answer)
                _, port, is_open, attempt, at = answer
                target.answered(port, is_open, attempt, self.now - at)
            count = target.bucket.available(self.now)
            if count > 0 and target.turns.has_more:
                attempt, places = target.turns.take(count)
                for port in target.numbers(places):
                    self._ask(port, attempt)
                target.sent(attempt, places, len(places), self.now)
            target.expire(self.now)
            self.now += 0.001
        return sorted(target.open)

    def _ask(self, port: int, attempt: int) -> None:
        self.sent += 1
        said = self._says(port)
        if said is None or self.chance.random() < self._lost:
            return
        if said is False and self._resets is not None:
            if self.now < self._reset_at:
                return
            self._reset_at = max(self._reset_at, self.now - 0.05) + 1 / self._resets
        self._coming.append((self.now + self._delay, port, said, attempt, self.now))


OPEN = {22, 80, 443, 631, 999}


def test_a_host_that_answers_is_asked_once_for_each_port() -> None:
    world = World(lambda port: port in OPEN)
    assert world.run() == sorted(OPEN)
    assert world.sent == 1000


def test_a_host_that_drops_is_asked_no_more_than_the_losses_elsewhere_demand() -> None:
    world = World(lambda port: True if port in OPEN else None)
    for _ in range(1000):
        world.path.loss.observe(1)
    assert world.run() == sorted(OPEN)
    assert world.sent <= 2 * 1000


@pytest.mark.parametrize("drops", [False, True])
def test_all_open_ports_are_found_with_two_in_a_hundred_lost_and_a_delay(drops: bool) -> None:
    world = World(lambda port: port in OPEN or (None if drops else False), lost=0.02, delay=0.06)
    for number in range(1000):
        world.path.loss.observe(2 if number % 50 == 0 else 1)
    assert world.run() == sorted(OPEN)


def test_a_host_that_limits_its_resets_is_asked_more_slowly_and_nothing_is_missed() -> None:
    world = World(lambda port: port in OPEN, resets=250)
    assert world.run() == sorted(OPEN)
    assert world.target.bucket.pace < 1000
    assert world.now < 30


def test_a_host_that_takes_all_connections_is_seen_as_such_after_a_sample() -> None:
    world = World(lambda port: True, ports=60000)
    found = world.run()
    assert world.target.all_open
    assert len(found) < 300
    assert world.sent < 500


def test_of_a_host_with_very_many_open_ports_the_first_are_told() -> None:
    world = World(lambda port: port % 2 == 0, ports=60000)
    assert len(world.run()) == MOST_OPEN
    assert world.target.all_open


def test_a_host_that_drops_all_but_many_open_ports_is_not_taken_for_open_on_all() -> None:
    world = World(lambda port: True if port % 4 == 0 else None)
    assert world.run() == list(range(4, 1001, 4))
    assert not world.target.all_open
