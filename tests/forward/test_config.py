"""A config file for many hosts: what is read, and faults with their line and column."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import UsageError
from mooring.forward import config
from mooring.forward.address import Address, parse
from mooring.forward.config import Bad, Host

FULL = """\
# What is for every host that says nothing else.
bind = "127.0.0.1"
include = ["web-*",
  "port=8000-8099",  # a comment with a ] and a "
]

[[host]]
address = "ssh://deploy@build.example"
identity = '''~/.ssh/id_build'''
remap = { 80 = 8080, "443" = 8443 }

[[host]]
address = "ssh://10.1.2.3:2222"
bind = "127.0.0.2"
transport = "openssh"
known_hosts = "/etc/ssh/known"
docker_host = "unix:///run/user/1000/docker.sock"
include = []
exclude = ["label=internal"]
[host.remap]
5432 = 15432
"""


def read(text: str) -> tuple[Host, ...]:
    return config.read(text, "forward.toml", parse).hosts


def fault(text: str) -> Bad:
    with pytest.raises(Bad) as caught:
        read(text)
    return caught.value


def test_hosts_are_read_in_their_order_with_the_defaults_of_the_file() -> None:
    first, second = read(FULL)
    assert first == Host(
        Address("build.example", "deploy"),
        identity=Path.home() / ".ssh" / "id_build",
        include=("web-*", "port=8000-8099"),
        remap={80: 8080, 443: 8443},
    )
    assert second == Host(
        Address("10.1.2.3", None, 2222),
        bind="127.0.0.2",
        transport="openssh",
        known_hosts=Path("/etc/ssh/known"),
        docker_host="unix:///run/user/1000/docker.sock",
        exclude=("label=internal",),
        remap={5432: 15432},
    )


def test_where_to_report_to_stands_beside_the_hosts() -> None:
    text = 'server = "http://10.0.0.1:8930/"\nkey_file = "~/key"\n[[host]]\naddress = "ssh://x"\n'
    found = config.read(text, "forward.toml", parse)
    assert (found.server, found.key_file) == ("http://10.0.0.1:8930", Path.home() / "key")
    assert len(found.hosts) == 1


def test_a_dockers_context_can_be_named_instead_of_an_address() -> None:
    found = config.read('[[host]]\naddress = "build"', "f", lambda name: Address(name, "context"))
    assert found.hosts == (Host(Address("build", "context")),)


@pytest.mark.parametrize(
    ("text", "spot", "why"),
    [
        ("[[host]]\naddress = ssh://x", (2, 11), "invalid value"),
        ('server = "10.0.0.1"\n[[host]]', (1, 1), "server: expected http://HOST:PORT"),
        ("key_file = 1\n[[host]]", (1, 1), "key_file: expected a text in quotes"),
        ('key = "mooring_1"\n[[host]]', (1, 1), "there is no key 'key' here"),
        ('[[host]]\naddress = "ssh://x"\nserver = "http://x"', (3, 1), "there is no key 'server'"),
        ("[[host]\n", (1, 7), "expected ']]' at the end of an array declaration"),
        ('[[host]]\naddress = "x', (2, 13), "unterminated string at the end of the file"),
        ('bind = "::1"\nbind = "::1"', (2, 13), "cannot overwrite a value at the end of the file"),
        ('[[host]]\n  adress = "ssh://x"', (2, 3), "there is no key 'adress' here"),
        ('[[host]]\nbind = "::1"', (1, 1), "this host has no address"),
        ('[[host]]\naddress = "ssh://"', (2, 1), "address: there is no host in it"),
        ('[[host]]\naddress = "http://x"', (2, 1), "address: expected the scheme ssh"),
        ("[[host]]\naddress = 5", (2, 1), "address: expected a text in quotes, got 5"),
        ("\n\nbind = true\n[[host]]", (3, 1), "bind: expected a text in quotes, got true"),
        ('bind = "localhost"', (1, 1), "bind: expected an IP address"),
        ('transport = "putty"', (1, 1), 'transport: expected "asyncssh" or "openssh", got'),
        ('include = "web"', (1, 1), "include: expected a list, got 'web'"),
        ('exclude = [\n"web",\n"port=x"]', (1, 1), "exclude: expected port=N or port=N-M"),
        ("exclude = [7]", (1, 1), "exclude: expected a text in quotes, got 7"),
        ('docker_host = "tcp://x"', (1, 1), "docker_host: expected unix:///PATH"),
        ("remap = 80", (1, 1), "remap: expected a table, got 80"),
        ("[remap]\n80 = 8080\n81 = 0\n", (3, 1), "remap: expected REMOTE=LOCAL"),
        ("[remap]\nhttp = 8080\n", (2, 1), "remap: expected REMOTE=LOCAL"),
        ("[remap]\n80 = true\n", (2, 1), "remap: expected REMOTE=LOCAL"),
        ("host = 5", (1, 1), "each host is a table of its own"),
        ('[host]\naddress = "ssh://x"', (1, 1), "each host is a table of its own"),
        (
            '[[host]]\naddress="ssh://x"\n[[host]]\n\n address="ssh://x" # again',
            (5, 2),
            "ssh://x is named twice",
        ),
        (FULL + "\n[[host]]\nadr = 1", (24, 1), "there is no key 'adr' here"),
        (FULL.replace("5432 = 15432", "5432 = 99999"), (21, 1), "remap: expected REMOTE=LOCAL"),
        (FULL.replace("\n", "\r\n").replace("15432", "99999"), (21, 1), "remap: expected REMOTE"),
    ],
)
def test_a_fault_is_told_with_its_line_and_column(
    text: str, spot: tuple[int, int], why: str
) -> None:
    found = fault(text)
    assert found.why.startswith(why)
    assert found.spot == spot
    assert found.attempted == f"reading forward.toml, line {spot[0]}, column {spot[1]}"


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    found = fault('[[host]]\nadress = "ssh://x"')
    assert found.why == "there is no key 'adress' here; did you mean address?"
    assert found.remedy.startswith("there are: address, bind, transport")


def test_a_file_without_a_host_says_how_one_is_written() -> None:
    with pytest.raises(UsageError) as caught:
        read("# nothing yet\n")
    assert caught.value.why == "there is no host in it"
    assert "[[host]]" in caught.value.remedy


# --- whatever is written

lines = st.sampled_from(
    [
        "[[host]]", "[ host . remap ]", "[a.'b c']", 'x = "# no comment"', "y = '''\n[z]\n'''",
        'z = """a\\"""\n\n[q] = 1\n"""', "list = [ 1, # ]\n [2, 3],\n {a = '}'} ]", "# [comment]",
        "", "   ", "a.b.c = 1", '"quoted key" = 2', "d = 1979-05-27T07:32:00Z", "t = {u = {v = 1}}",
    ]
)  # fmt: skip


@given(st.lists(lines, max_size=8).map("\n".join))
def test_every_key_that_is_found_stands_where_it_is_said_to(text: str) -> None:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    split = text.split("\n")
    spots = config._spots(text)
    for line, column in spots.values():
        assert re.match(r"""\[|["'\w-]""", split[line - 1][column - 1 :])
        assert split[line - 1][: column - 1].strip() == ""
    assert {way[0] for way in spots} == set(found)


@given(st.text(alphabet="[]{}#\"'\n =.ab1\\", max_size=30))
def test_any_text_is_read_or_a_usage_error(text: str) -> None:
    try:
        read(text)
    except UsageError:
        return
