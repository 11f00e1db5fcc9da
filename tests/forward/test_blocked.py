from __future__ import annotations

from pathlib import Path

import pytest

from mooring.forward.address import Address
from mooring.forward.blocked import by_hand, denied, from_ssh, last_words
from mooring.forward.transport import Blocked, Lost, Options

HOST = Address("build", "deploy", 2222)


def test_the_command_by_hand_is_as_the_options_are() -> None:
    options = Options(Path("/k/id"), Path("/k/known"), config=Path("/k/config"))
    assert by_hand(HOST, options) == (
        "ssh -F /k/config -o UserKnownHostsFile=/k/known -i /k/id -p 2222 deploy@build true"
    )
    assert by_hand(Address("build"), Options()) == "ssh build true"


def test_a_denied_user_is_told_what_was_tried_and_how_to_get_in() -> None:
    error = denied(HOST, Options(), "deploy", ["the agent's", "/k/id"])
    assert "deploy was denied; tried: the agent's, /k/id" in str(error)
    assert "ssh-copy-id -p 2222 deploy@build" in error.remedy


def test_a_key_that_was_named_is_the_one_to_let_in() -> None:
    error = denied(HOST, Options(identity=Path("/my keys/id")), "deploy", ["/my keys/id"])
    assert error.remedy == (
        "name another --identity, or let the key in there: "
        "ssh-copy-id -i '/my keys/id' -p 2222 deploy@build"
    )


def test_a_locked_key_is_to_be_put_into_an_agent() -> None:
    error = denied(HOST, Options(), "deploy", [], [Path("/k/id")])
    assert "no key at all" in error.why
    assert "ssh-add /k/id" in error.remedy


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (["deploy@build: Permission denied (publickey)."], Blocked, "the user deploy was denied"),
        (["Host key verification failed."], Blocked, "not among the known hosts"),
        (
            ["Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures"],
            Blocked,
            "Too many authentication failures",
        ),
        (
            ["/etc/x line 3: Bad configuration option: foo", "/etc/x: terminating, 1 bad"],
            Blocked,
            "line 3: Bad configuration option: foo",
        ),
        (
            ["Unable to negotiate with 10.0.0.1 port 22: no matching cipher found."],
            Blocked,
            "no matching cipher",
        ),
        (
            ["ssh: Could not resolve hostname nowhere: Name or service not known"],
            Lost,
            "its name can't be resolved: name or service not known",
        ),
        (["ssh: connect to host build port 22: Connection refused"], Lost, "connection refused"),
        (["ssh: connect to host build port 22: No route to host"], Lost, "no route to host"),
        (["Connection closed by 10.0.0.1 port 22"], Lost, "Connection closed by"),
        ([], Lost, "without a word"),
    ],
)
def test_what_ssh_says_is_for_a_person_or_to_be_tried_again(
    said: list[str], kind: type[Exception], words: str
) -> None:
    error = from_ssh(HOST, Options(), said)
    assert type(error) is kind
    assert words in str(error)


def test_a_changed_key_is_told_with_its_fingerprint_and_its_line() -> None:
    said = [
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
        "The fingerprint for the ED25519 key sent by the remote host is",
        "SHA256:xKZ3M2DKiMPbPluqY8OLQAOniD0R1HghggjkeLs4fKI.",
        "Offending ED25519 key in /home/me/.ssh/known_hosts:7",
        "Host key verification failed.",
    ]
    error = from_ssh(HOST, Options(), said)
    assert isinstance(error, Blocked)
    assert "now ED25519 SHA256:xKZ3M2DKiMPbPluqY8OLQAOniD0R1HghggjkeLs4fKI)" in error.why
    assert "remove line 7 of /home/me/.ssh/known_hosts" in error.remedy


def test_the_last_words_are_those_that_tell_something() -> None:
    assert last_words(["Timeout, server 10.0.0.1 not responding.", ""]) == (
        "no sign of life for too long"
    )
    assert last_words(["it broke", "channel 3: open failed: connect failed", "@@@@@@"]) == (
        "it broke"
    )
    assert last_words([]) == ""
