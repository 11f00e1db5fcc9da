from __future__ import annotations

import time
import uuid

import pytest

from mooring.core.ids import is_id, new_id


def test_an_id_is_a_version_7_uuid_with_the_variant_of_rfc_9562():
    made = uuid.UUID(new_id())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


def test_an_id_holds_the_millisecond_in_which_it_was_made():
    before = time.time_ns() // 1_000_000
    milliseconds = uuid.UUID(new_id()).int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_of_different_milliseconds_sort_as_text_in_the_order_of_their_making():
    made = []
    for _ in range(5):
        made.append(new_id())
        time.sleep(0.002)
    assert made == sorted(made)


def test_ids_are_not_given_twice():
    assert len({new_id() for _ in range(20_000)}) == 20_000


def test_what_is_made_is_recognised():
    assert is_id(new_id())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "0" * 36,
        "01A1FC21-767B-7291-98A6-27AF129DB9AD",
        "{01a1fc21-767b-7291-98a6-27af129db9ad}",
        "01a1fc21767b729198a627af129db9ad",
        "urn:uuid:01a1fc21-767b-7291-98a6-27af129db9ad",
        "../../etc/passwd",
        "x" * 100_000,
    ],
)
def test_what_is_not_a_uuid_in_its_canonical_form_is_no_id(text):
    assert not is_id(text)
