from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mooring.can import journal
from mooring.can.journal import Journal
from mooring.core.errors import MooringError
from mooring.model.can import (
    Access,
    Endpoint,
    EndpointOptions,
    EndpointState,
    Filter,
    Network,
    NetworkOptions,
    Settings,
)

OPTIONS = NetworkOptions(
    "can0", "can", Settings(500000, 2000000, True, 100, 1000), Access.LISTEN,
    (Filter(0x123, 0x7FF),), True, 5.0,
)  # fmt: skip
NETWORK = Network("a" * 64, OPTIONS, physical=True)
ENDPOINT = Endpoint(
    "b" * 64, NETWORK.id, EndpointOptions("can", "can7", Access.SEND, (), False),
    EndpointState.JOINED, "/sandbox", 12.5,
)  # fmt: skip


def opened(folder: Path, boot: str = "one") -> Journal:
    found = Journal(folder, boot)
    found.read()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = opened(tmp_path)
    first.put_network(Network("c" * 64, NetworkOptions("vcan0", "can"), physical=False))
    first.put_network(NETWORK)
    first.put_endpoint(ENDPOINT)
    return tmp_path


def test_networks_and_endpoints_are_read_as_they_were_written(folder: Path) -> None:
    again = opened(folder)
    assert again.networks[NETWORK.id] == NETWORK
    assert dict(again.endpoints) == {ENDPOINT.id: ENDPOINT}
    assert again.set_aside == []


def test_endpoints_do_not_outlive_a_reboot_and_networks_do(folder: Path) -> None:
    again = opened(folder, "two")
    assert not again.endpoints
    assert set(again.networks) == {NETWORK.id, "c" * 64}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 99, "networks": []}', b"\xff" * 9,
     b'{"version": 1, "networks": [{"id": 5}]}', b"[" * 100_000],
)  # fmt: skip
def test_a_corrupt_file_is_set_aside_and_its_predecessor_used(folder: Path, content: bytes) -> None:
    (folder / "networks.json").write_bytes(content)
    again = opened(folder)
    assert set(again.networks) == {"c" * 64}
    (bad,) = again.set_aside
    assert Path(bad.file).read_bytes() == content
    assert bad.instead.endswith("networks.old")
    again.put_network(NETWORK)
    assert set(opened(folder).networks) == {"c" * 64, NETWORK.id}


def test_a_file_over_the_limit_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 10)
    assert not opened(folder).networks


def test_two_corrupt_files_leave_an_empty_journal_that_works(folder: Path) -> None:
    for name in ("networks.json", "networks.old"):
        (folder / name).write_bytes(b"{")
    again = opened(folder)
    assert not again.networks
    again.put_network(NETWORK)
    assert set(opened(folder).networks) == {NETWORK.id}


def test_a_look_that_touches_nothing_leaves_a_corrupt_file_where_it_is(folder: Path) -> None:
    (folder / "networks.json").write_bytes(b"{")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Journal(folder, "one").read(touch=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_could_not_be_written_is_not_known_afterwards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = opened(folder)
    before = (folder / "networks.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", full)
        with pytest.raises(MooringError, match="no space left on device"):
            book.put_network(Network("d" * 64, OPTIONS, physical=True))
        with pytest.raises(MooringError, match="no space left on device"):
            book.drop_network(NETWORK.id)
    assert "d" * 64 not in book.networks
    assert NETWORK.id not in book.networks
    assert (folder / "networks.json").read_bytes() == before
    book.drop_network(NETWORK.id)
    assert NETWORK.id not in opened(folder).networks


def test_files_are_for_their_owner_only(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
