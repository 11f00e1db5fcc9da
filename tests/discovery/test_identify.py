"""What was seen becomes services: with what evidence, how sure, in which order, and when not."""

from __future__ import annotations

import pytest

from mooring.discovery.catalogue import Catalogue, load
from mooring.discovery.catalogue.reader import read
from mooring.discovery.identify import (
    MOST_PATHS,
    identify,
    identify_container,
    identify_host,
    image_name,
    paths_to_ask,
    verdicts,
)
from mooring.discovery.seen import Seen, Sight
from mooring.model.service import Means, OpenPort, Protocol

ENTRIES = """\
[[service]]
name = "front"
title = "Front"
category = "web"
ports = [80]
generic = true
match = [{ means = "http_header", header = "server", pattern = '^front(/(?P<version>\\S{1,20}))?', confidence = 0.95 }]

[[service]]
name = "app"
title = "App"
category = "monitoring"
ports = [3000]
match = [
  { means = "http_title", pattern = '^App$', confidence = 0.6 },
  { means = "http_body", pattern = 'appBoot', confidence = 0.3 },
  { means = "http_body", path = "/api/health", pattern = '"app":"(?P<version>[\\d.]{1,20})"', confidence = 0.6 },
  { means = "image", pattern = '^app/app$', confidence = 0.9 },
]

[[service]]
name = "better-app"
title = "Better App"
category = "monitoring"
instead_of = ["app"]
match = [{ means = "http_header", header = "x-better", confidence = 0.9 }]

[[service]]
name = "twofold"
title = "Twofold"
category = "web"
match = [
  { means = "http_title", pattern = '^Login$', confidence = 0.7, group = "a" },
  { means = "http_header", header = "set-cookie", pattern = '^two=', confidence = 0.7, group = "a" },
]

[[service]]
name = "asked"
title = "Asked"
category = "database"
ports = [7000]
match = [{ means = "banner", question = "redis", pattern = '^yes', confidence = 0.9 }]
"""  # noqa: E501
CATALOGUE = Catalogue(read(ENTRIES, "test.toml"))


def title(text: str) -> Sight:
    return Sight(Means.HTTP_TITLE, text)


def body(text: str, path: str = "/") -> Sight:
    return Sight(Means.HTTP_BODY, text, path=path)


def header(name: str, value: str) -> Sight:
    return Sight(Means.HTTP_HEADER, value, of=name)


def seen(*sights: Sight, port: int = 8080) -> Seen:
    return Seen(Protocol.TCP, port, sights)


def port(*sights: Sight, number: int = 8080) -> OpenPort:
    return identify(seen(*sights, port=number), CATALOGUE)


def names(found: OpenPort) -> list[str]:
    return [service.name for service in found.services]


def test_a_port_alone_names_no_service_and_says_what_is_likely() -> None:
    found = port(number=3000)
    assert not found.services
    assert found.says == "likely App"


def test_evidence_adds_up_and_is_told() -> None:
    (app,) = port(title("App"), body("var appBoot = {}")).services
    assert app.confidence == pytest.approx(1 - 0.4 * 0.7)
    assert [(e.means, e.seen) for e in app.evidence] == [
        (Means.HTTP_TITLE, "App"),
        (Means.HTTP_BODY, "var appBoot = {}"),
    ]


def test_a_usual_port_adds_a_little() -> None:
    (app,) = port(title("App"), number=3000).services
    assert app.confidence == pytest.approx(1 - 0.4 * 0.9)
    assert app.evidence[-1].means is Means.PORT


def test_nothing_is_ever_quite_sure() -> None:
    ours = load().catalogue
    ssh = Sight(Means.SSH, "SSH-2.0-OpenSSH_9.2p1 Debian-2")
    (service,) = identify(Seen(Protocol.TCP, 22, (ssh,)), ours).services
    assert service.confidence == 0.99


def test_weak_evidence_is_not_enough_for_a_name() -> None:
    found = port(body("window.appBoot"))
    assert not found.services
    assert found.says == "likely App"


def test_what_a_proxy_shows_stands_before_the_proxy_and_both_are_listed() -> None:
    found = port(title("App"), header("server", "front/1.2"))
    assert names(found) == ["app", "front"]
    assert found.services[1].version == "1.2"


def test_a_service_that_is_more_exact_stands_in_the_place_of_the_other() -> None:
    assert names(port(title("App"), header("x-better", "1"))) == ["better-app"]
    (_, other) = verdicts(seen(title("App"), header("x-better", "1")), CATALOGUE)
    assert (other.entry.name, other.instead) == ("app", "better-app")


def test_matches_of_a_group_count_only_together() -> None:
    assert names(port(title("Login"), header("set-cookie", "two=1"))) == ["twofold"]
    assert not port(title("Login")).services
    (nearly,) = verdicts(seen(title("Login")), CATALOGUE)
    assert [match.of for match in nearly.lacking] == ["set-cookie"]


def test_the_answer_to_another_question_is_no_evidence() -> None:
    assert names(port(Sight(Means.BANNER, "yes", of="redis"))) == ["asked"]
    assert not port(Sight(Means.BANNER, "yes", of="mqtt")).services
    assert not port(Sight(Means.BANNER, "yes")).services


def test_the_version_is_the_one_of_the_surest_match() -> None:
    (app,) = port(title("App"), body('{"app":"1.2.3"}', path="/api/health")).services
    assert app.version == "1.2.3"


def test_paths_are_asked_where_something_speaks_for_them_and_only_a_handful() -> None:
    assert paths_to_ask(seen(port=8080), CATALOGUE) == ()
    assert paths_to_ask(seen(port=3000), CATALOGUE) == ("/api/health",)
    assert paths_to_ask(seen(title("App")), CATALOGUE) == ("/api/health",)
    everything = load().catalogue
    for number in everything.light_ports:
        assert len(paths_to_ask(Seen(Protocol.TCP, number), everything)) <= MOST_PATHS


def test_what_cannot_be_printed_is_not_shown() -> None:
    found = port(Sight(Means.BANNER, "\x1b[31mred\x00\r\n" + "x" * 5000))
    assert found.says.startswith("·[31mred·")
    assert len(found.says) <= 200


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("redis", "redis"),
        ("redis:7-alpine", "redis"),
        ("docker.io/library/redis:7@sha256:0123", "redis"),
        ("library/redis", "redis"),
        ("grafana/grafana:11.1.0", "grafana/grafana"),
        ("ghcr.io/home-assistant/home-assistant:stable", "home-assistant/home-assistant"),
        ("localhost:5000/team/app", "team/app"),
        ("localhost/app", "app"),
        ("registry:2", "registry"),
        ("sha256:0123456789ab", "sha256"),
        ("", ""),
    ],
)
def test_an_images_name_is_told_without_registry_tag_and_digest(image: str, name: str) -> None:
    assert image_name(image) == name


def test_a_container_is_known_by_its_image_and_its_labels() -> None:
    ours = load().catalogue
    (redis,) = identify_container("docker.io/library/redis:7", {}, ours)
    assert (redis.name, redis.evidence[0].means) == ("redis", Means.IMAGE)
    assert identify_container("my/own-thing", {"a": "b"}, ours) == ()


def test_a_host_is_known_by_what_it_announces() -> None:
    ours = load().catalogue
    found = identify_host("", ["_googlecast._tcp Living-Room md=Chromecast"], ours)
    assert found
    assert found[0].evidence[0].means is Means.MDNS
    assert identify_host("", ["grafana.local", "_x._tcp grafana"], ours) == ()


PRODUCTS = (
    "Grafana Prometheus Jenkins WordPress Nextcloud GitLab Gitea Portainer Plex Jellyfin Sonarr "
    "Home Assistant Pi-hole Proxmox Synology phpMyAdmin Kibana RabbitMQ MinIO Vault nginx Redis"
)


@pytest.mark.parametrize(
    "sights",
    [
        (title(f"How I run {PRODUCTS}"), body(f"<p>We like {PRODUCTS}")),
        (title("Grafana - Wikipedia"), body("<h1>Grafana</h1>")),
        (header("x-note", PRODUCTS), header("server", "mine")),
        (Sight(Means.BANNER, f"Welcome! Here run {PRODUCTS}\r\n"),),
        (Sight(Means.TLS, f"subject: CN=shop.example,O={PRODUCTS}"),),
        *(((title(text), body(f"<title>{text}</title>"))) for text in (
            "Login", "Log in", "Sign in", "Dashboard", "Home", "Welcome", "Index of /", "Untitled",
            "404 Not Found", "401 Unauthorized", "Loading...", "React App", "Vite App", "Admin",
            "Web Interface", "Status", "Setup", "Console", "Camera", "Router", "Photos", "API",
        )),
        *((body(text, path=path),) for path in ("/", "/api/health", "/health", "/version") for text
          in ("OK", "{}", "[]", '{"status":"ok"}', '{"version":"1.0.0"}', "pong", "Not Found")),
        *((Sight(Means.BANNER, text),) for text in (
            "220 hello\r\n", "+OK\r\n", "* OK ready\r\n", "ERROR\r\n", "-ERR unknown command\r\n",
            "login: ", "\x00", "\xff\xfd\x18",
        )),
    ],
)  # fmt: skip
def test_what_mentions_products_or_says_what_anybody_says_is_none_of_them(
    sights: tuple[Sight, ...],
) -> None:
    for number in (80, 8080, 3000, 9090):
        found = identify(Seen(Protocol.TCP, number, sights), load().catalogue)
        assert names(found) == []
