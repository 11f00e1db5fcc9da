"""Behind a reverse proxy: the page's cookie, the sessions, the audit and the limits on guessing see
who is in front of it. By requests made by hand, and through a real nginx and a real Caddy as the
docs set them up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mooring.model.event import Changed, Entity, Operation
from mooring.server import proxies
from mooring.server.serve import listen, serving
from tests.fakes import certificates
from tests.lab.remote import free_port
from tests.parts import need
from tests.server.accounts import PASSWORD, Browser, user
from tests.server.world import World, any_database

pytestmark = any_database

DOCS = Path(__file__).parents[2] / "docs" / "server.md"


def log_in(browser: Browser, **headers: str) -> Any:
    body = {"name": "bob", "password": PASSWORD}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.ask("POST", "session", json=body, headers=named)


async def last_address(world: World) -> str:
    newest = (await world.items("audit", entity="session"))[0]
    address: str = newest["address"]
    assert (await world.items("sessions"))[0]["address"] == address
    return address


async def test_what_anybody_may_write_is_believed_of_trusted_proxies_alone(world: World) -> None:
    await user(world, "bob", "viewer")
    said = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}
    for trusted, peer, address in (
        ("", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("127.0.0.1", "127.0.0.1", "203.0.113.9"),
    ):
        world.clock.forward(1)
        world.state.settings.trusted_proxies = proxies.networks(trusted)
        entered = await log_in(Browser(world, peer), **said)
        assert entered.status_code == 201
        assert await last_address(world) == address
        secure = "secure" in entered.headers["set-cookie"].lower()
        assert secure == (address == "203.0.113.9")


async def test_the_cookie_is_for_https_alone_where_the_browser_came_by_it(world: World) -> None:
    await user(world, "bob", "viewer")
    world.state.settings.trusted_proxies = proxies.networks("127.0.0.1")
    for scheme in ("http", "https", "ftp"):
        entered = await log_in(Browser(world, "127.0.0.1"), x_forwarded_proto=scheme)
        assert ("; secure" in entered.headers["set-cookie"].lower()) == (scheme == "https")


async def test_behind_tls_a_page_of_the_same_name_without_it_is_another_site(world: World) -> None:
    browser, _ = await user(world, "bob", "viewer")
    world.state.settings.trusted_proxies = proxies.networks("10.0.0.9")
    for scheme, status in (("http", 403), ("https", 204)):
        headers = {"origin": f"{scheme}://mooring.test", "x-forwarded-proto": "https"}
        answer = await browser.ask("DELETE", "session", headers=headers)
        assert answer.status_code == status


async def test_an_origin_that_is_no_address_is_refused_and_no_fault(world: World) -> None:
    browser, _ = await user(world, "bob", "viewer")
    for origin in ("http://[", "http://[::1", "//mooring.test", "mooring.test", ""):
        answer = await browser.ask("DELETE", "session", headers={"origin": origin})
        assert answer.status_code == 403, origin


async def test_behind_a_proxy_one_who_guesses_does_not_stop_the_others(world: World) -> None:
    world.state.settings.trusted_proxies = proxies.networks("127.0.0.1")
    await user(world, "bob", "viewer")
    browser = Browser(world, "127.0.0.1")
    guess = {"name": "eve", "password": "guess"}
    for n in range(12):
        # What the guesser writes before the proxy does makes no new address of it.
        said = {"x-forwarded-for": f"198.51.100.{n}, 203.0.113.66"}
        answer = await browser.ask("POST", "session", json=guess, headers=said)
        assert answer.status_code == (401 if n < 10 else 429)
    assert (await log_in(browser, x_forwarded_for="203.0.113.9")).status_code == 201


# --- real proxies


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of a server, with what the docs say of it."""

    process: subprocess.Popen[bytes]
    tls: int
    plain: int
    socket: Path

    async def answers(self) -> None:
        async with asyncio.timeout(30):
            while not await self._is_open():
                assert self.process.poll() is None
                await asyncio.sleep(0.02)

    async def _is_open(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.tls)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def browser(self, world: World, *, at: str = "", by: str = "", plain: bool = False) -> Browser:
        """A window on the server: ``at`` the proxy's address, ``by`` the window's own."""
        made = Browser(world)
        uds = str(self.socket) if at == "unix" else None
        transport = httpx2.AsyncHTTPTransport(verify=False, local_address=by or None, uds=uds)
        host = "localhost" if at == "unix" else at or "127.0.0.1"
        where = f"http://{host}:{self.plain}" if plain else f"https://{host}:{self.tls}"
        made.http = httpx2.AsyncClient(transport=transport, base_url=f"{where}/api/v1/", timeout=30)
        return made


def documented(pattern: str, server: int) -> str:
    found = re.search(pattern, DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[0].replace("127.0.0.1:8930", f"127.0.0.1:{server}")


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            command, stdout=said, stderr=said, env={**os.environ, **environment}
        )


def an_nginx(folder: Path, server: int) -> Proxy:
    program, tls, plain, listening = need("nginx"), free_port(), free_port(), folder / "socket"
    both = certificates.make(folder / "both.pem", "mooring.test")
    (folder / "nginx.conf").write_text(
        f"""
        {"user root;" if os.geteuid() == 0 else ""}
        daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ }}
        http {{
          access_log off;
          client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          ssl_certificate {both}; ssl_certificate_key {both};
          server {{
            listen 127.0.0.1:{tls} ssl; listen [::1]:{tls} ssl;
            listen 127.0.0.1:{plain}; listen unix:{listening};
            {documented("^    location / {.*?^    }", server)}
          }}
        }}
        """
    )
    process = start(folder, program, "-p", str(folder), "-c", str(folder / "nginx.conf"))
    return Proxy(process, tls, plain, listening)


def a_caddy(folder: Path, server: int) -> Proxy:
    program, tls, plain, listening = need("caddy"), free_port(), free_port(), folder / "socket"
    both = certificates.make(folder / "both.pem", "127.0.0.1", "127.0.0.1")
    site = documented("^mooring.example {.*?^}", server)
    secure = site.replace("mooring.example {", f"https://127.0.0.1:{tls} {{\ntls {both} {both}")
    (folder / "Caddyfile").write_text(
        "{\nadmin off\nauto_https off\n}\n"
        + secure
        + "\n"
        + site.replace("mooring.example {", f"http://127.0.0.1:{plain} {{")
    )
    command = (program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return Proxy(start(folder, *command, **homes), tls, plain, listening)


@contextlib.asynccontextmanager
async def in_front(
    make: Callable[[Path, int], Proxy], world: World, folder: Path
) -> AsyncIterator[Proxy]:
    listener = listen("127.0.0.1", 0)
    with contextlib.closing(listener):
        async with serving(world.state, listener):
            proxy = make(folder, listener.getsockname()[1])
            try:
                await proxy.answers()
                yield proxy
            finally:
                proxy.process.terminate()
                proxy.process.wait(30)


@pytest.fixture
async def nginx(world: World, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with in_front(an_nginx, world, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def caddy(world: World, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with in_front(a_caddy, world, tmp_path) as proxy:
        yield proxy


@pytest.mark.real
async def test_through_nginx_each_browser_has_its_own_address_and_a_cookie_for_https(
    world: World, nginx: Proxy
) -> None:
    await user(world, "bob", "viewer")
    for trusted, at, by, plain, address in (
        ("127.0.0.1", "127.0.0.1", "127.0.0.2", False, "127.0.0.2"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.3", True, "127.0.0.3"),
        ("127.0.0.1", "[::1]", "", False, "::1"),
        ("127.0.0.1", "unix", "", True, "127.0.0.1"),
        # The server does not know of its proxy, or of another one.
        ("", "127.0.0.1", "127.0.0.4", False, "127.0.0.1"),
        ("10.0.0.0/8", "127.0.0.1", "127.0.0.5", False, "127.0.0.1"),
    ):
        world.clock.forward(1)
        world.state.settings.trusted_proxies = proxies.networks(trusted)
        browser = nginx.browser(world, at=at, by=by, plain=plain)
        async with browser.http as http:
            # A lie that nginx hands on, with the truth behind it.
            entered = await log_in(browser, x_forwarded_for="198.51.100.1", x_forwarded_proto="ftp")
            assert entered.status_code == 201, entered.text
            assert await last_address(world) == address
            believed = trusted == "127.0.0.1" and not plain
            assert ("; secure" in entered.headers["set-cookie"].lower()) == believed
            own = str(http.base_url.copy_with(path="/")).rstrip("/")
            for origin, status in (("https://evil.example", 403), (own, 204)):
                out = await browser.ask("DELETE", "session", headers={"origin": origin})
                assert out.status_code == status


async def hears_at_once(world: World, http: httpx2.AsyncClient) -> None:
    viewer = await world.headers("viewer")
    async with http.stream("GET", "events", headers=viewer) as answer, asyncio.timeout(30):
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: resync"
        world.state.tell([Changed(Entity.HOST, Operation.CHANGED, "some-host")])
        while "some-host" not in await anext(lines):
            pass


@pytest.mark.real
async def test_through_nginx_news_come_at_once_and_the_largest_report_fits(
    world: World, nginx: Proxy
) -> None:
    world.state.settings.trusted_proxies = proxies.networks("127.0.0.1")
    agent = await world.headers("agent")
    async with nginx.browser(world).http as http:
        await hears_at_once(world, http)
        # That the server reads it all, and says that it is no report, is enough.
        whole = await http.post("reports", content=b" " * 16 * 2**20, headers=agent)
        assert whole.status_code == 400
        assert whole.json()["detail"].startswith("the report is not JSON")


@pytest.mark.real
async def test_through_caddy_a_browser_has_its_own_address_and_news_come_at_once(
    world: World, caddy: Proxy
) -> None:
    await user(world, "bob", "viewer")
    world.state.settings.trusted_proxies = proxies.networks("127.0.0.1")
    for by, plain in (("127.0.0.2", False), ("127.0.0.3", True)):
        world.clock.forward(1)
        browser = caddy.browser(world, by=by, plain=plain)
        async with browser.http as http:
            entered = await log_in(browser, x_forwarded_for="198.51.100.1", x_forwarded_proto="ftp")
            assert entered.status_code == 201, entered.text
            assert await last_address(world) == by
            assert ("; secure" in entered.headers["set-cookie"].lower()) != plain
            await hears_at_once(world, http)
            own = str(http.base_url.copy_with(path="/")).rstrip("/")
            out = await browser.ask("DELETE", "session", headers={"origin": own})
            assert out.status_code == 204
