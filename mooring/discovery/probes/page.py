"""Pure. An HTTP answer's parts in, what it shows out: sights, the title, where the icon is."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from mooring.discovery.seen import BOUNDS, Sight
from mooring.model.net import IpAddress
from mooring.model.service import Means

MOST_HEADERS = 64
MAX_BODY = 256 * 1024

_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{0,1000})", re.IGNORECASE)
_LINK = re.compile(r"<link\s[^>]{1,400}>", re.IGNORECASE)
_ICON = re.compile(r"""rel\s{0,4}=\s{0,4}["']?[^"'>]{0,40}\bicon\b""", re.IGNORECASE)
_HREF = re.compile(r"""href\s{0,4}=\s{0,4}["']?([^"'\s>]{1,300})""", re.IGNORECASE)
_IN_QUERY = "/%:@!$&'()*+,;=~?[]"
_CHARSET = re.compile(r"charset=[\"']?([\w-]{1,20})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer over HTTP, its body decoded; parts of it when it was cut off."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        return decoded(self.body[: 4 * BOUNDS[Means.HTTP_BODY]], self.header("content-type"))


def page_sights(page: Page, path: str) -> tuple[Sight, ...]:
    """All that a page shows, as what was seen at ``path``; a redirect's own text says nothing."""
    sights = [Sight(Means.HTTP_STATUS, str(page.status), path=path)]
    sights += [
        Sight(Means.HTTP_HEADER, value, of=name, path=path)
        for name, value in page.headers[:MOST_HEADERS]
    ]
    if 300 <= page.status < 400:
        return tuple(sights)
    text = page.text
    if shown := title(text):
        sights.append(Sight(Means.HTTP_TITLE, shown, path=path))
    if text.strip():
        sights.append(Sight(Means.HTTP_BODY, text, path=path))
    return tuple(sights)


def title(text: str) -> str:
    """An HTML page's title, as a browser would show it."""
    found = _TITLE.search(text, 0, BOUNDS[Means.HTTP_BODY])
    return " ".join(html.unescape(found[1]).split()) if found else ""


def icon_path(text: str) -> str:
    """Where a page says that its icon is: as written there, ``/favicon.ico`` if it is silent."""
    for found in _LINK.finditer(text, 0, BOUNDS[Means.HTTP_BODY]):
        if _ICON.search(found[0]) and (href := _HREF.search(found[0])):
            return html.unescape(href[1])
    return "/favicon.ico"


def same_place(ip: IpAddress, port: int, target: str, base: str, *, tls: bool) -> str | None:
    """The path that a link or redirect leads to, or None when it leads elsewhere.

    Another port is asked by itself, another host perhaps not at all: neither is followed.
    """
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    scheme = "https" if tls else "http"
    try:
        to = urlsplit(urljoin(f"{scheme}://{host}:{port}{base}", target))
        its_port = to.port or {"http": 80, "https": 443}.get(to.scheme)
    except ValueError:
        return None
    if (to.scheme, to.hostname, its_port) != (scheme, str(ip), port):
        return None
    path = quote(to.path or "/", safe="/%:@!$&'()*+,;=~")
    return path + (f"?{quote(to.query, safe=_IN_QUERY)}" if to.query else "")


def decoded(body: bytes, content_type: str) -> str:
    """The body as text: in the character set that it names, with � for what is none of it."""
    named = _CHARSET.search(content_type)
    try:
        return body.decode(named[1] if named else "utf-8", "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without gzip or deflate, which some send unasked; at most ``MAX_BODY`` bytes."""
    if encoding.lower() not in {"gzip", "x-gzip", "deflate"}:
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_BODY)
    except zlib.error:
        return body


def carelessly_parsed(said: bytes) -> Page | None:
    """An answer of a server that does not keep to the rules of HTTP, as far as it can be read."""
    head, _, body = said.partition(b"\r\n\r\n" if b"\r\n\r\n" in said else b"\n\n")
    first, *lines = head.split(b"\n")
    status = re.match(rb"HTTP/\d(?:\.\d)? (\d{3})\b", first)
    if status is None:
        return None
    pairs = (line.decode("latin-1").partition(":") for line in lines[:MOST_HEADERS])
    headers = tuple((k.strip().lower(), v.strip()) for k, colon, v in pairs if colon)
    return Page(int(status[1]), headers, body[:MAX_BODY])


def plain_on_tls(pages: Sequence[Page]) -> bool:
    """Whether a server says that it was asked without TLS where it wants TLS."""
    return any(p.status == 400 and re.search(rb"HTTPS|SSL|TLS", p.body[:2000]) for p in pages)
