"""Ports that look like services and are none: listeners in this process, until standard input ends.

    python decoys.py FIRST_PORT

Prints a line ``port what`` for each, then ``ready``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Talk = Callable[[Reader, Writer], Awaitable[None]]

PRODUCTS = (
    "Grafana Jenkins WordPress Prometheus Home Assistant Nextcloud GitLab Gitea Portainer Plex "
    "Jellyfin Sonarr Radarr Pi-hole Proxmox Synology phpMyAdmin Kibana RabbitMQ MinIO Vault"
)
BLOG = (
    "<html><head><title>How I run Grafana and Prometheus behind nginx</title></head><body>"
    f"<p>We compare {PRODUCTS}. Server: Apache/2.4. window.grafanaBootData is what Grafana has; "
    "Jenkins sends X-Jenkins, WordPress has wp-content.</p></body></html>"
)


def page(body: str, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{headers}Connection: close\r\n\r\n{body}".encode()


def answering(data: bytes) -> Talk:
    """Answers whatever is asked first."""

    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.read(4096)
        writer.write(data)
        await writer.drain()

    return talk


def greeting(data: bytes) -> Talk:
    async def talk(reader: Reader, writer: Writer) -> None:
        writer.write(data)
        await reader.read(4096)

    return talk


async def silent(reader: Reader, _: Writer) -> None:
    while await reader.read(4096):
        pass


async def tarpit(_: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"S")
        await writer.drain()
        await asyncio.sleep(0.1)


async def echo(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(4096):
        writer.write(data)


async def endless(reader: Reader, writer: Writer) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>For ever</title>")
    while True:
        writer.write(b"Grafana " * 1000)
        await writer.drain()


async def slow_header(reader: Reader, writer: Writer) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def noise(_: Reader, writer: Writer) -> None:
    writer.write(os.urandom(2000))


async def noisy_answer(reader: Reader, writer: Writer) -> None:
    while await reader.read(4096):
        writer.write(os.urandom(200))


async def hang_up(_: Reader, __: Writer) -> None:
    return


DECOYS: dict[str, Talk] = {
    "a page that mentions products": answering(page(BLOG)),
    "a list of products as its title": answering(page(f"<title>{PRODUCTS}</title>")),
    "a page with one product's name in its title": answering(
        page("<title>Grafana - Wikipedia</title><h1>Grafana</h1>")
    ),
    "one page for every path": answering(page('<title>My app</title>{"status":"ok"}')),
    "a log-in that is nobody's": answering(
        page("<title>Login</title>", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n')
    ),
    "silence": silent,
    "a tarpit": tarpit,
    "an echo": echo,
    "an endless page": endless,
    "a slow header": slow_header,
    "a huge header": answering(b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 200_000 + b"\r\n\r\nhi"),
    "random bytes": noise,
    "random answers": noisy_answer,
    "hanging up": hang_up,
    "a greeting of no known kind": greeting(b"220 hello \xff\xfe redis SSH nginx\r\n"),
    "a chatty line": greeting(b"Welcome! This machine runs OpenSSH, MySQL and Redis 7.0.\r\n"),
}


async def main(first: int) -> None:
    servers = [
        await asyncio.start_server(kept(talk), "0.0.0.0", first + number)
        for number, talk in enumerate(DECOYS.values())
    ]
    for number, name in enumerate(DECOYS):
        print(first + number, name)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        server.close()
    os._exit(0)


def kept(talk: Talk) -> Talk:
    async def handle(reader: Reader, writer: Writer) -> None:
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    return handle


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
