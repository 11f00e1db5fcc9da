"""An open port is asked what it is: by what it says first, over HTTP and TLS, and in protocols.

The servers here are small and misbehave in one way each; bench/identify has the real ones.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from mooring.discovery.catalogue import Catalogue, load
from mooring.discovery.catalogue.reader import read
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.page import icon_path, same_place, title
from mooring.discovery.probes.port import Asked, ask_port, identify_port
from mooring.discovery.probes.questions import QUESTIONS, UDP_QUESTIONS
from mooring.discovery.probes.udp import ask_udp, hear_udp
from mooring.model.service import Means
from tests.fakes import certificates

HERE = ipaddress.ip_address("127.0.0.1")
NOTHING = Catalogue(())
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Talk = Callable[[Reader, Writer], Awaitable[None]]


def quick(**more: float) -> Limits:
    """Short waits where silence is waited for."""
    return Limits(greeting_s=0.05, answer_s=0.2, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server whose every connection is ``talk``'s, for as long as the block lasts."""
    talking: set[asyncio.Task[None]] = set()

    async def handle(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            talking.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talking):
            task.cancel()
        while talking:
            await asyncio.sleep(0.01)


async def asked(
    talk: Talk,
    tls: ssl.SSLContext | None = None,
    catalogue: Catalogue = NOTHING,
    limits: Limits | None = None,
) -> Asked:
    async with serving(talk, tls) as port:
        return await ask_port(HERE, port, catalogue, limits or quick())


def texts(one: Asked, means: Means, path: str = "/") -> list[str]:
    return [s.text for s in one.sights if s.means is means and s.path == path]


def says(data: bytes) -> Talk:
    async def talk(reader: Reader, writer: Writer) -> None:
        writer.write(data)
        while await reader.read(4096):
            pass

    return talk


def answers(data: bytes) -> Talk:
    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.read(4096)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return talk


def site(pages: dict[str, bytes], requests: list[str], *, keeps: bool = True) -> Talk:
    """A web server with these answers by path; it notes what it is asked for."""

    async def talk(reader: Reader, writer: Writer) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1].decode()
            requests.append(path)
            writer.write(pages.get(path, page("", "404 Not Found")))
            await writer.drain()
            if not keeps:
                break

    async def ended(reader: Reader, writer: Writer) -> None:
        with suppress(asyncio.IncompleteReadError):
            await talk(reader, writer)

    return ended


def page(body: str | bytes, status: str = "200 OK", *headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of its own."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    certificates.make(file, "nas.local", "nas.example", "10.0.0.9")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_greeting_is_heard_on_any_port() -> None:
    one = await asked(says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
    assert texts(one, Means.SSH) == ["SSH-2.0-OpenSSH_9.2p1 Debian-2"]
    assert texts(one, Means.BANNER)[0].startswith("SSH-2.0-OpenSSH")


async def test_a_page_is_seen_with_status_title_headers_and_body() -> None:
    requests: list[str] = []
    pages = {"/": page("<title>  My\n &amp; house </title>hi", "200 OK", "Server: toast/1")}
    one = await asked(site(pages, requests))
    assert texts(one, Means.HTTP_STATUS) == ["200"]
    assert texts(one, Means.HTTP_TITLE) == ["My & house"]
    assert "toast/1" in texts(one, Means.HTTP_HEADER)
    assert texts(one, Means.HTTP_BODY)[0].endswith("hi")
    assert requests == ["/"]


async def test_tls_is_seen_with_the_certificates_names_and_the_page_behind_it(
    tls: ssl.SSLContext,
) -> None:
    one = await asked(site({"/": page("<title>Vault</title>")}, []), tls)
    assert one.tls
    assert texts(one, Means.TLS) == [
        "subject: CN=nas.local",
        "issuer: CN=nas.local",
        "name: nas.example",
        "name: 10.0.0.9",
    ]
    assert texts(one, Means.HTTP_TITLE) == ["Vault"]


async def test_a_server_that_wants_tls_is_known_by_what_is_behind_it(tls: ssl.SSLContext) -> None:
    complaint = page("<title>400 The plain HTTP request was sent to HTTPS port</title>", "400 Bad")
    async with serving(answers(page("<title>Vault</title>")), tls) as behind:

        async def door(reader: Reader, writer: Writer) -> None:
            begun = await reader.read(4096)
            if begun[0] != 0x16:
                writer.write(complaint)
                await writer.drain()
                return
            there, here = await asyncio.open_connection("127.0.0.1", behind)
            here.write(begun)
            try:
                await asyncio.gather(passed_on(reader, here), passed_on(there, writer))
            finally:
                here.transport.abort()
                await asyncio.sleep(0)

        one = await asked(door)
    assert one.tls
    assert texts(one, Means.HTTP_TITLE) == ["Vault"]


async def passed_on(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_greeting_behind_tls_is_heard(tls: ssl.SSLContext) -> None:
    one = await asked(says(b"* OK IMAP4 ready\r\n"), tls)
    assert one.tls
    assert texts(one, Means.BANNER) == ["* OK IMAP4 ready\r\n"]


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    requests: list[str] = []
    pages = {
        "/": page("<title>Moved</title>", "302 Found", "Location: login?next=%2F", "X-One: 1"),
        "/login?next=%2F": page("<title>Log in</title>"),
    }
    one = await asked(site(pages, requests))
    assert requests == ["/", "/login?next=%2F"]
    assert texts(one, Means.HTTP_TITLE) == ["Log in"]
    assert "1" in texts(one, Means.HTTP_HEADER)


@pytest.mark.parametrize(
    "location",
    ["https://{host}/", "http://elsewhere.example/", "http://127.0.0.2:{port}/", "//x/", "http://[",
     "/", "ftp://{host}:{port}/"],
)  # fmt: skip
async def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    requests: list[str] = []
    pages: dict[str, bytes] = {}
    async with serving(site(pages, requests)) as port:
        where = location.format(host="127.0.0.1", port=port)
        pages["/"] = page("", "301 Moved", f"Location: {where}")
        one = await ask_port(HERE, port, NOTHING, quick())
    assert requests == ["/"]
    assert texts(one, Means.HTTP_STATUS) == ["301"]


async def test_redirects_that_never_end_are_left() -> None:
    requests: list[str] = []
    pages = {f"/{'x' * n}": page("", "302 Found", f"Location: /{'x' * (n + 1)}") for n in range(50)}
    await asked(site(pages, requests))
    assert len(requests) <= 3


ICON = b"\x00\x00\x01\x00 an icon"
KNOWS_ICON = f"""\
[[service]]
name = "iconic"
title = "Iconic"
category = "web"
[[service.match]]
means = "favicon"
pattern = '^{hashlib.sha256(ICON).hexdigest()}$'
confidence = 0.9
"""


@pytest.mark.parametrize(
    ("at", "link"),
    [("/favicon.ico", ""), ("/static/i.png", '<link href="static/i.png" rel="shortcut icon">')],
)
@pytest.mark.parametrize("keeps", [True, False])
async def test_an_icon_is_known_wherever_the_page_says_it_is(
    at: str, link: str, keeps: bool
) -> None:
    pages = {"/": page(f"<title>Hm</title>{link}"), at: page(ICON)}
    async with serving(site(pages, [], keeps=keeps)) as port:
        found = await identify_port(HERE, port, Catalogue(read(KNOWS_ICON, "x.toml")), quick())
    assert [service.name for service in found.services] == ["iconic"]


async def test_a_path_is_asked_for_that_an_entry_wants() -> None:
    entry = """\
[[service]]
name = "app"
title = "App"
category = "web"
match = [
  { means = "http_title", pattern = '^App$', confidence = 0.4 },
  { means = "http_body", path = "/api/version", pattern = '^v(?P<version>[0-9]{1,3})', confidence = 0.8 },
]
"""  # noqa: E501
    pages = {"/": page("<title>App</title>"), "/api/version": page("v7")}
    async with serving(site(pages, [])) as port:
        found = await identify_port(HERE, port, Catalogue(read(entry, "x.toml")), quick())
    assert [(s.name, s.version) for s in found.services] == [("app", "7")]


async def test_a_packed_body_is_read() -> None:
    packed = page(gzip.compress(b"<title>Packed</title>"), "200 OK", "Content-Encoding: gzip")
    assert texts(await asked(answers(packed)), Means.HTTP_TITLE) == ["Packed"]


async def test_an_answer_that_breaks_the_rules_of_http_is_read_as_far_as_it_goes() -> None:
    broken = b"HTTP/1.1 200 OK\r\nServer: camera 1\r\nno colon here\r\n\r\n<title>Cam</title>"
    one = await asked(answers(broken))
    assert "camera 1" in texts(one, Means.HTTP_HEADER)
    assert texts(one, Means.HTTP_TITLE) == ["Cam"]


async def test_a_silent_port_is_asked_in_protocols_until_one_is_answered() -> None:
    async def database(reader: Reader, writer: Writer) -> None:
        if (await reader.read(4096)).startswith(b"INFO"):
            writer.write(b"$30\r\n# Server\r\nredis_version:7.0.15\r\n")
            await reader.read(4096)

    async with serving(database) as port:
        found = await identify_port(HERE, port, load().catalogue, quick())
    assert [(s.name, s.version) for s in found.services] == [("redis", "7.0.15")]


@pytest.mark.parametrize("question", [*QUESTIONS, *UDP_QUESTIONS], ids=lambda q: q.name)
def test_an_echo_and_noise_are_no_answer(question: object) -> None:
    from mooring.discovery.probes.questions import Question

    assert isinstance(question, Question)
    assert not question.answered(question.send)
    assert not question.answered(question.send + b"more")
    assert not question.answered(b"")
    assert not question.answered(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert not question.answered(b"ERROR\r\n")
    assert not question.answered(b"\x15\x03\x03\x00\x02\x02\x28")


async def silence(reader: Reader, _: Writer) -> None:
    while await reader.read(4096):
        pass


async def echo(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(4096):
        writer.write(data)


async def tarpit(_: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(reader: Reader, writer: Writer) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n<title>For ever</title>")
    while True:
        writer.write(b"Grafana " * 1000)
        await writer.drain()


async def slow_head(reader: Reader, writer: Writer) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await tarpit(reader, writer)


async def hang_up(_: Reader, __: Writer) -> None:
    return


async def noise(reader: Reader, writer: Writer) -> None:
    while await reader.read(4096):
        writer.write(os.urandom(300))


@pytest.mark.parametrize(
    "talk",
    [silence, echo, tarpit, endless, slow_head, hang_up, noise,
     says(b"220 \xff\xfe\x00 hello\r\n"), says(os.urandom(5000)),
     answers(b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 300_000), answers(b"HTTP/9 what"),
     answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx"),
     answers(b"\xff" * 100), answers(page(b"\xff\xfe\x00<title>\xff</title>")),
     answers(page(gzip.compress(b"x" * 50_000_000), "200 OK", "Content-Encoding: gzip"))],
    ids=["silence", "echo", "tarpit", "endless", "slow-head", "hang-up", "noise", "bad-utf8",
         "random", "huge-header", "no-http", "bad-chunk", "ff", "bad-page", "bomb"],
)  # fmt: skip
async def test_what_misbehaves_is_bounded_and_is_no_service(talk: Talk) -> None:
    async with serving(talk) as port, asyncio.timeout(60):
        found = await identify_port(HERE, port, load().catalogue, quick(port_s=3))
    assert found.services == ()
    assert len(found.says) <= 200


async def test_an_endless_page_is_known_by_its_beginning() -> None:
    one = await asked(endless)
    assert texts(one, Means.HTTP_TITLE) == ["For ever"]
    assert all(len(sight.text) <= 64 * 1024 for sight in one.sights)


async def test_a_port_that_takes_no_connection_says_why() -> None:
    async with serving(silence) as port:
        pass
    one = await ask_port(HERE, port, NOTHING, quick())
    assert one.closed == "connection refused"
    assert not one.sights
    assert not one.seen.asked


@pytest.mark.slow
async def test_a_port_was_asked_when_nothing_is_left_to_ask_and_not_when_it_was_cut_off() -> None:
    async with serving(silence) as port:
        whole = await identify_port(HERE, port, NOTHING, quick())
        cut_off = await identify_port(HERE, port, NOTHING, quick(port_s=0.05))
    assert (whole.asked, whole.services, whole.says) == (True, (), "")
    assert not cut_off.asked


async def test_a_printers_raw_port_is_asked_nothing_and_says_why() -> None:
    one = await ask_port(HERE, 9100, load().catalogue, quick())
    assert "not asked" in one.story[0]
    assert not one.closed
    told = await identify_port(HERE, 9100, load().catalogue, quick())
    assert told.says.startswith("not asked: a printer prints")
    assert "Prometheus node exporter" in told.says
    assert not told.asked


@pytest.mark.slow
async def test_a_host_is_asked_on_so_many_ports_at_a_time() -> None:
    now = most = 0

    async def counting(reader: Reader, _: Writer) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1

    limits = quick(per_host=3)
    async with serving(counting) as port:
        await asyncio.gather(*(ask_port(HERE, port, NOTHING, limits) for _ in range(12)))
    # Each port is asked by up to six questions side by side.
    assert 1 <= most <= 3 * 6


async def test_a_host_that_wastes_its_time_is_asked_no_longer() -> None:
    limits = quick(host_s=0.2, per_host=1)
    async with serving(silence) as port:
        first = await ask_port(HERE, port, NOTHING, limits)
        then = await ask_port(HERE, port, NOTHING, limits)
    assert first.story[-1].startswith("cut off")
    assert then.story == ["not asked: this host has had its 0.2 s"]


async def test_being_cancelled_ends_it_at_once_and_leaves_no_connection() -> None:
    gone = asyncio.Event()

    async def watching(reader: Reader, _: Writer) -> None:
        while await reader.read(4096):
            pass
        gone.set()

    async with serving(watching) as port:
        asking = asyncio.ensure_future(ask_port(HERE, port, NOTHING, Limits()))  # noqa: TID251
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(gone.wait(), 30)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<TITLE lang=de>Gr&uuml;n</TITLE>", "Grün"),
        ("<title></title>", ""),
        ("<title>never closed", "never closed"),
        ("no title", ""),
        ("<svg><title>a</title>", "a"),
    ],
)
def test_a_title_is_read_as_a_browser_shows_it(text: str, shown: str) -> None:
    assert title(text) == shown


def test_the_icons_place_is_the_pages_or_the_usual_one() -> None:
    assert icon_path("<link rel=icon href=/a.ico>") == "/a.ico"
    assert icon_path("<link rel=stylesheet href=/a.css>") == "/favicon.ico"


def test_a_link_stays_on_its_port_also_with_ipv6() -> None:
    six = ipaddress.ip_address("fd00::1")
    assert same_place(six, 8443, "/a b", "/", tls=True) == "/a%20b"
    assert same_place(six, 8443, "https://[fd00::1]:8443/x", "/", tls=True) == "/x"
    assert same_place(six, 8443, "https://[fd00::2]:8443/x", "/", tls=True) is None


async def test_nobody_who_listens_on_udp_is_found_where_nobody_does() -> None:
    # Loopback answers at once that nobody listens; what this machine runs itself may be there.
    heard = await hear_udp(ipaddress.ip_address("127.77.0.9"), quick())
    assert all(seen.sights for seen in heard)


async def test_a_port_that_has_a_page_for_a_get_is_asked_what_is_usual_on_it_as_well() -> None:
    async def rtsp(reader: Reader, writer: Writer) -> None:
        asked = await reader.read(1000)
        if asked.startswith(b"OPTIONS"):
            writer.write(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
        elif asked:
            writer.write(b"HTTP/1.0 503 Service Unavailable\r\nServer: Streams\r\n\r\n")
        writer.close()

    ip = ipaddress.ip_address("127.77.0.12")
    async with await asyncio.start_server(rtsp, str(ip), 8554):
        found = await identify_port(ip, 8554, load().catalogue, quick())
    assert [service.name for service in found.services] == ["rtsp"]


async def test_who_answers_over_udp_from_a_port_of_its_own_is_heard() -> None:
    with udp("127.77.0.10", 69) as tftp:

        def refuse() -> None:
            _, there = tftp.recvfrom(100)
            with udp("127.77.0.10", 0) as own:
                own.sendto(b"\0\5\0\1File not found\0", there)

        found = await heard_while(refuse, "127.77.0.10")
    assert found == {69: ["tftp"]}


async def test_a_sip_server_is_told_to_answer_where_the_question_came_from() -> None:
    with udp("127.77.0.11", 5060) as sip:

        def answer() -> None:
            asked, there = sip.recvfrom(1000)
            # RFC 3261, 18.2.2: without rport the answer goes to the port of the Via, or 5060.
            port = there[1] if b";rport" in asked else 5060
            sip.sendto(b"SIP/2.0 200 OK\r\nServer: kamailio (5.6.3)\r\n\r\n", (there[0], port))

        found = await heard_while(answer, "127.77.0.11")
    assert found == {5060: ["kamailio"]}


def udp(ip: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((ip, port))
    return made


async def heard_while(answer: Callable[[], None], ip: str) -> dict[int, list[str]]:
    """What the UDP ports of an address are taken for, one of which answers so."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(answer))
        found = await ask_udp(ipaddress.ip_address(ip), load().catalogue, quick())
    return {port.number: [service.name for service in port.services] for port in found}


@pytest.mark.parametrize("der", [b"", b"\x30\x03", os.urandom(300), b"\x30" * 100_000])
def test_a_certificate_that_is_none_has_no_names(der: bytes) -> None:
    from mooring.discovery.probes.certificate import certificate_sights

    assert certificate_sights(der) == ()


def test_questions_have_names_of_their_own_and_never_go_to_printers() -> None:
    for questions in (QUESTIONS, UDP_QUESTIONS):
        assert len({q.name for q in questions}) == len(questions)
        assert not [q for q in questions if set(q.ports) & set(range(9100, 9108))]
