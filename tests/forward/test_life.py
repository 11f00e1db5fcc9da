"""The life of a link: which state follows, and how long is waited."""

from __future__ import annotations

from mooring.forward import life as lives
from mooring.forward.life import Life
from mooring.model.forward import LinkState

WAY_UP = (LinkState.CONNECTING, LinkState.VERIFYING, LinkState.SYNCING, LinkState.LIVE)


def most() -> float:
    return 1.0


def up(life: Life, now: float) -> Life:
    for state in WAY_UP:
        life = lives.to(life, state, now)
    return life


def test_each_link_that_is_made_is_a_new_generation() -> None:
    life = up(Life(), 0)
    assert (life.state, life.generation, life.live_since) == (LinkState.LIVE, 1, 0)
    assert up(lives.lost(life, 5), 6).generation == 2


def test_the_first_loss_is_retried_at_once_and_then_slower_up_to_thirty_seconds() -> None:
    life = up(Life(), 0)
    waits = []
    for now in range(100, 112):
        life = lives.lost(life, now)
        waits.append(lives.wait(life, most))
        life = lives.to(life, LinkState.CONNECTING, now)
    assert waits == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]


def test_a_link_that_was_live_is_tried_again_within_half_a_second_after_each_cut() -> None:
    life = Life()
    for now in range(20):
        life = lives.lost(up(life, now), now)
        assert lives.wait(life, most) <= 0.5
    assert life.failures == 20


def test_a_host_that_goes_after_many_cuts_is_tried_slower_and_slower_too() -> None:
    life = Life()
    for now in range(20):
        life = lives.lost(up(life, now), now)
    waits = []
    for now in range(20, 27):
        life = lives.lost(lives.to(life, LinkState.CONNECTING, now), now)
        waits.append(lives.wait(life, most))
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_many_clients_of_one_dead_host_do_not_come_back_in_step() -> None:
    life = lives.lost(lives.lost(Life(), 0), 0)
    assert lives.wait(life, lambda: 0.0) == 0.125
    assert lives.wait(life, lambda: 0.5) == 0.1875


def test_failures_are_forgotten_after_thirty_seconds_live_and_not_before() -> None:
    life = up(lives.lost(lives.lost(Life(), 0), 0), 10)
    assert lives.seen_steady(life, 39).failures == 2
    assert lives.seen_steady(life, 40).failures == 0
    assert lives.lost(life, 39).failures == 3
    assert lives.lost(life, 40).failures == 1


def test_a_suspicion_that_is_cleared_does_not_make_the_link_a_new_one() -> None:
    life = up(Life(), 0)
    for state in (LinkState.SUSPECT, LinkState.SYNCING, LinkState.LIVE):
        life = lives.to(life, state, 20, "docker was slow")
    assert life.live_since == 0
    assert life.since == 0
    assert lives.lost(life, 31).failures == 1


def test_a_link_that_only_a_person_can_mend_is_tried_once_a_minute() -> None:
    life = lives.lost(Life(), 0, "no such key", blocked=True)
    assert life.state is LinkState.BLOCKED
    assert lives.wait(life, most) == 60


def test_a_host_that_is_away_is_looked_for_often_at_first_and_never_more_than_5_s_apart() -> None:
    away = (0, 20, 100, 400, 2000, 86_400)
    assert [lives.look_every(seconds) for seconds in away] == [0.25, 0.25, 0.25, 1, 5, 5]


def test_why_the_last_link_was_lost_is_told_until_the_next_is_made() -> None:
    life = lives.to(lives.lost(Life(), 0, "reset by peer"), LinkState.CONNECTING, 1)
    assert life.detail == "reset by peer"
    assert lives.to(life, LinkState.VERIFYING, 2).detail == ""
