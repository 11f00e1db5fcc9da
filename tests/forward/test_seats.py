"""Several hosts want one place: the first named has it, and the others take it when it is free."""

from __future__ import annotations

from mooring.forward.seats import Seat, Seats
from mooring.model.forward import Place

WEB = Place("tcp", "127.0.0.1", 80)
DB = Place("tcp", "127.0.0.1", 5432)


def seats(*names: str) -> tuple[list[Seat], list[str]]:
    """Seats for hosts, and which of them were asked to settle, in order."""
    all_seats = Seats()
    asked: list[str] = []
    taken = []
    for name in names:
        seat = all_seats.take(name)

        async def settle(name: str = name) -> None:
            asked.append(name)

        seat.settle = settle
        taken.append(seat)
    return taken, asked


async def test_the_host_that_was_named_first_has_the_place() -> None:
    (first, second), _ = seats("ssh://a", "ssh://b")
    await second.claim({WEB: "shop"})
    assert second.taken(WEB) is None
    await first.claim({WEB: "site"})
    assert first.taken(WEB) is None
    assert second.taken(WEB) == "127.0.0.1:80/tcp goes to site on ssh://a, which is named first"


async def test_those_behind_settle_when_a_place_of_theirs_is_taken_and_when_it_is_freed() -> None:
    (first, second, third), asked = seats("ssh://a", "ssh://b", "ssh://c")
    await second.claim({WEB: "shop"})
    await third.claim({DB: "store"})
    await first.claim({WEB: "site"})
    assert asked == ["ssh://b"]
    lost = await first.claim({})
    assert lost == {WEB}
    assert second.taken(WEB) is None
    await first.freed(lost)
    assert asked == ["ssh://b", "ssh://b"]


async def test_nobody_is_asked_for_places_that_only_one_wants_or_that_did_not_change() -> None:
    (first, second), asked = seats("ssh://a", "ssh://b")
    await second.claim({DB: "store"})
    await first.claim({WEB: "site"})
    await first.freed(await first.claim({WEB: "site"}))
    await first.freed(await first.claim({}))
    assert asked == []


async def test_those_before_are_never_asked_so_no_two_wait_for_each_other() -> None:
    (first, second), asked = seats("ssh://a", "ssh://b")
    await first.claim({WEB: "site"})
    await second.claim({WEB: "shop"})
    await second.freed(await second.claim({}))
    assert asked == []
