"""What Docker 20.10 really sent, boot after boot, answered by the driver on a kernel's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mooring.can import protocol, recover
from mooring.can.protocol import BadCall
from tests.can.fakes import HOST
from tests.can.plugin import Plugin

RECORDED = Path(__file__).parents[1] / "data" / "docker-plugin-calls"
FIRST = RECORDED / "boot1.jsonl"
LATER = sorted(path for path in RECORDED.glob("boot*.jsonl") if path != FIRST)


def replay(plugin: Plugin, path: Path) -> list[tuple[str, Any]]:
    """Verb and answer of each call; the body of an empty request was empty."""
    answers = []
    for line in path.read_text().splitlines():
        told = json.loads(line)
        if "call" not in told:
            continue
        # An option that nobody knows was tried there: we refuse such.
        (told["req"].get("Options") or {}).pop("other", None)
        body = json.dumps(told["req"]).encode() if told["req"] else b""
        try:
            call = protocol.parse(f"/{told['call']}", body)
        except BadCall:
            # What Docker asks again after it has lost a connection is not the driver's to know.
            continue
        answer = plugin.driver.answer(call)
        answers.append((call.verb, answer))
        if call.verb == "Join" and "Err" not in answer:
            source = answer["InterfaceName"]["SrcName"]
            taken = {one.name for one in plugin.world.links.get(call.sandbox, {}).values()}
            prefix = answer["InterfaceName"]["DstPrefix"]
            name = next(n for i in range(9) if (n := f"{prefix}{i}") not in taken)
            plugin.world.start_container(source, call.sandbox or "lost", name)
    return answers


def test_a_first_boot_is_answered_without_an_error(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path)
    answers = replay(plugin, FIRST)
    assert {verb for verb, _ in answers} >= {
        "Activate", "GetCapabilities", "CreateNetwork", "CreateEndpoint", "Join", "Leave",
        "DeleteEndpoint",
    }  # fmt: skip
    assert [answer for _, answer in answers if "Err" in answer] == []


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.stem)
def test_after_a_reboot_every_container_is_wired_with_what_docker_sends(
    path: Path, tmp_path: Path
) -> None:
    plugin = Plugin(tmp_path)
    replay(plugin, FIRST)
    plugin.reboot()
    answers = replay(plugin, path)
    refused = [answer["Err"] for _, answer in answers if "Err" in answer]
    assert all("the body is empty" in error for error in refused)
    joined = [one for one in plugin.journal.endpoints.values() if one.wired]
    pairs = recover.pairs(plugin.world.links[HOST].values())
    assert {one.id for one in joined} <= set(pairs)
    for one in joined:
        device = plugin.world.named(plugin.journal.networks[one.network].device)
        assert device is not None
        assert pairs[one.id].index in plugin.world.hears(device.index)
