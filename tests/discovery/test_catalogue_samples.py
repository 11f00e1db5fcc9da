"""Every service of the catalogue is named by what it shows, and nothing else is taken for it."""

from __future__ import annotations

import html
import tomllib

import pytest

from mooring.discovery import catalogue
from mooring.discovery.catalogue import Entry
from mooring.discovery.identify import identify, identify_container, identify_host
from mooring.discovery.probes.page import Page, page_sights
from mooring.discovery.seen import Seen
from mooring.model.service import Means, Protocol, Service
from tests.discovery.samples import FOLDER, MOST_BODY, Sample, samples

CATALOGUE = catalogue.load().catalogue
SAMPLES = samples()
SAID = tomllib.loads((FOLDER / "said.toml").read_text())
"""How people write a service's images; what it announces by mDNS; who makes its MAC."""
DECOYS = tomllib.loads((FOLDER / "decoys.toml").read_text())["page"]
ENTRIES = sorted(CATALOGUE.entries.values(), key=lambda entry: entry.name)


def named(sample: Sample) -> list[tuple[Seen, tuple[Service, ...]]]:
    return [(seen, identify(seen, CATALOGUE).services) for seen in sample.ports]


def shown(title: str, body: str, *headers: tuple[str, str]) -> Seen:
    """A page, as the probes would see it."""
    text = f"<!doctype html>\n<html><head><title>{title}</title></head>\n<body>{body}</body></html>"
    page = Page(200, (("content-type", "text/html; charset=utf-8"), *headers), text.encode())
    return Seen(Protocol.TCP, 8080, page_sights(page, "/"))


def taken_for(seen: Seen) -> list[str]:
    """What a page is taken for, servers that show any page apart."""
    found = identify(seen, CATALOGUE).services
    return [s.name for s in found if not CATALOGUE.entries[s.name].generic]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_service_is_named_by_what_it_shows_and_no_other_is(sample: Sample) -> None:
    for seen, services in named(sample):
        names = [service.name for service in services]
        assert names[:1] == [sample.service], f"port {seen.number}: {names}"
        others = [n for n in names[1:] if not CATALOGUE.entries[n].generic]
        assert not others, f"port {seen.number}"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_service_of_the_catalogue_has_something_recorded_or_published(entry: Entry) -> None:
    sampled = {sample.service for sample in SAMPLES}
    said = {name for means in SAID.values() for name in means}
    assert entry.name in sampled | said


def test_a_sample_says_what_it_rests_on_and_is_small() -> None:
    for sample in SAMPLES:
        assert sample.source in {"recorded", "published"}, sample.name
        assert sample.program if sample.source == "recorded" else sample.rests_on, sample.name
        bodies = [x for p in sample.ports for x in p.sights if x.means is Means.HTTP_BODY]
        assert all(len(body.text) <= MOST_BODY for body in bodies), sample.name


@pytest.mark.parametrize("name", sorted(SAID["image"]))
def test_a_container_is_known_by_its_image_however_it_is_written(name: str) -> None:
    for image in SAID["image"][name]:
        for written in (image, f"{image}:1.2.3", f"registry.local:5000/{image}@sha256:{'0' * 64}"):
            services = identify_container(written, {}, CATALOGUE)
            assert [service.name for service in services] == [name], written


@pytest.mark.parametrize("name", sorted(SAID["mdns"]))
def test_a_host_is_known_by_what_it_announces(name: str) -> None:
    for text in SAID["mdns"][name]:
        assert [s.name for s in identify_host("", [text], CATALOGUE)] == [name], text


@pytest.mark.parametrize("name", sorted(SAID["mac_vendor"]))
def test_a_host_is_known_by_who_makes_its_interface(name: str) -> None:
    for vendor in SAID["mac_vendor"][name]:
        assert [s.name for s in identify_host(vendor, [], CATALOGUE)] == [name], vendor


def test_an_image_that_only_begins_like_another_is_not_taken_for_it() -> None:
    for image in ("grafana/grafana-image-renderer", "me/nginx-exporter-ui", "postgres-backup", "x"):
        assert identify_container(image, {}, CATALOGUE) == ()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_page_that_only_mentions_a_product_is_not_taken_for_it(entry: Entry) -> None:
    name = html.escape(entry.title)
    article = (
        f"<h1>{name}</h1><p>We run {name} at home: <a href='http://10.0.0.2:8080/'>{name}</a>, "
        f"with <code>docker run {entry.name}</code>. Powered by {name}? Welcome to {name}!</p>"
    )
    for title in (f"How to install {name}", f"{name} or not: a comparison", f"My {name} at home"):
        assert taken_for(shown(title, article)) == [], title


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_page_that_quotes_what_a_service_shows_is_not_taken_for_it(sample: Sample) -> None:
    quoted = "\n".join(
        html.escape(f"{sight.of}: {sight.text}", quote=False)
        for seen in sample.ports
        for sight in seen.sights
    )
    assert taken_for(shown("Notes", f"<p>It says:</p><pre>\n{quoted}\n</pre>")) == []


@pytest.mark.parametrize("page", DECOYS, ids=lambda page: page["title"])
def test_a_decoy_is_taken_for_what_it_is(page: dict[str, str]) -> None:
    seen = shown(page["title"], page["body"], *page.get("headers", {}).items())
    assert taken_for(seen) == page.get("is", [])
