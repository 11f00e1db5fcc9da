"""A plan, once it is applied, leaves nothing to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.forward.plan import Plan, plan
from mooring.model.forward import Place, Target, Wanted

places = st.builds(Place, st.sampled_from(["tcp", "udp"]), st.just("127.0.0.1"), st.integers(1, 12))
wants = st.builds(
    Wanted,
    place=places,
    target=st.builds(Target, st.just("127.0.0.1"), st.integers(1, 3)),
    container_id=st.sampled_from(["a", "b", "c"]),
    container=st.just("web"),
    container_port=st.just(80),
    since=st.sampled_from([1.0, 2.0]),
)
wishes = st.lists(wants, unique_by=lambda want: want.place, max_size=10)


def after(todo: Plan, have: dict[Place, Wanted]) -> dict[Place, Wanted]:
    """What is listened on when all of a plan has worked."""
    left = {place: want for place, want in have.items() if place not in todo.close}
    for want in (*todo.retarget, *todo.open):
        left[want.place] = want
    return left


def have(listed: list[Wanted]) -> dict[Place, Wanted]:
    return {want.place: want for want in listed}


@given(wishes, wishes)
def test_a_plan_that_was_applied_leaves_nothing_to_do(
    want: list[Wanted], listed: list[Wanted]
) -> None:
    assert not plan(want, after(plan(want, have(listed)), have(listed)))


@given(wishes, wishes)
def test_a_plan_closes_only_what_is_there_and_opens_only_what_is_not(
    want: list[Wanted], listed: list[Wanted]
) -> None:
    todo = plan(want, have(listed))
    assert set(todo.close) <= have(listed).keys()
    assert {w.place for w in todo.retarget} <= have(listed).keys()
    assert not {w.place for w in todo.open} & have(listed).keys()


@given(wishes, wishes, st.data())
def test_a_plan_of_which_half_failed_is_made_up_for_by_the_next(
    want: list[Wanted], listed: list[Wanted], data: st.DataObject
) -> None:
    todo = plan(want, have(listed))
    opened = data.draw(st.sets(st.sampled_from(todo.open))) if todo.open else set()
    half = Plan(todo.close, todo.retarget, tuple(opened))
    now = after(half, have(listed))
    assert {w.place for w in plan(want, now).open} == {w.place for w in todo.open} - {
        w.place for w in opened
    }
    assert not plan(want, now).close


def test_a_port_that_goes_from_one_container_to_another_goes_on_listening() -> None:
    place = Place("tcp", "127.0.0.1", 80)
    old = Wanted(place, Target("127.0.0.1", 80), "a", "old", 80, 1.0)
    new = Wanted(place, Target("127.0.0.1", 80), "b", "new", 80, 2.0)
    assert plan([new], {place: old}) == Plan(retarget=(new,))
