"""Services that people run, as data: folders of TOML files in, a ``Catalogue`` out.

A file holds entries; each is a service and what it is known by::

    [[service]]
    name = "grafana"              # its id: lower case letters, digits, dashes
    title = "Grafana"             # as a person says it
    category = "monitoring"       # one of CATEGORIES (entry.py)
    ports = [3000]                # TCP ports it is usually on: a light scan looks at them, and
    udp_ports = [53]              # UDP ports. A port alone is never enough to name a service
    generic = true                # shows others' pages (nginx): listed after what it shows
    instead_of = ["gitea"]        # when this one is found, those are not listed

    [[service.match]]
    means = "http_title"          # what is looked at: mooring.model.service.Means, but not "port"
    pattern = '^Grafana$'         # a regular expression: searched, in any case, "." is any
                                  # character; (?P<version>…) gives the version
    confidence = 0.9              # above 0, up to 1: how sure this alone makes it
    header = "x-jenkins"          # http_header needs it; then a pattern may be missing: any value
    label = "org.opencontainers.image.title"    # label needs it; likewise
    question = "redis"            # banner: only the answer to this question (probes/questions.py)
    path = "/api/health"          # http_*: the path that was asked for, if not "/"
    port = [3000]                 # only on these ports
    group = "a"                   # counts only when every match of the same group is seen

Matches of one entry are taken together as independent: 1 - (1 - a)(1 - b)…, at most 0.99. From 0.5
on the service is named; below it is only "likely". So what another page may well say (a product's
name in a body) stays below 0.5, or gets a group; titles are anchored (``^Grafana$``).

What each means looks at:

- ``banner``: what the port says first, or its answer to a question. Bytes are Latin-1 characters.
- ``http_status`` (``401``), ``http_title``, ``http_header`` (the value of ``header``),
  ``http_body`` (the first 64 KiB). Other paths than ``/`` are asked on the entry's own ``ports``,
  and anywhere when another match of the entry was seen; a handful in all.
- ``favicon``: its SHA-256 in lower case hex digits.
- ``tls``: one text for each of ``subject: CN=…,O=…``, ``issuer: CN=…,O=…``, ``name: host.local``.
- ``ssh``: ``SSH-2.0-OpenSSH_9.2p1 Debian-2``.
- ``mdns``: ``_ipp._tcp Name of the instance key=value key=value``.
- ``mac_vendor``: the vendor's name.
- ``image``: without registry, tag and digest: ``grafana/grafana``, ``redis``.
- ``label``: the value of ``label``.

Patterns are run on what strangers send, so their worst case is bounded when they are read: in a
body write ``[\\d.]{1,20}`` in place of ``[\\d.]+``; the error says so where it is needed.

An entry of a user's folder takes the place of the one with its name. A file with a mistake is left
out with file, line and what was expected; the others stand.
"""

from __future__ import annotations

from mooring.discovery.catalogue.entry import CATEGORIES, Catalogue, Entry, Match
from mooring.discovery.catalogue.folders import Loaded, load, own, users_folders
from mooring.discovery.catalogue.reader import BadEntry

__all__ = [
    "CATEGORIES",
    "BadEntry",
    "Catalogue",
    "Entry",
    "Loaded",
    "Match",
    "load",
    "own",
    "users_folders",
]
