"""Reports of CAN buses: stored, listed, told."""

from __future__ import annotations

from mooring.model.can import Recovered
from tests.server.buses import bus, endpoint, mended, wiring, wrong
from tests.server.world import Reporter, World, machine


async def gateway(world: World, name: str = "gw") -> Reporter:
    """An agent of a machine with CAN."""
    agent = await world.agent()
    await agent.poll(name=name, duties=["discovery", "can"])
    return agent


# --- stored and listed


async def test_a_bus_and_its_endpoints_are_listed_as_they_were_reported(world: World) -> None:
    agent = await gateway(world)
    await agent.report(machine("gw"))
    members = (
        endpoint("1a", received=10, sent=3, dropped=1),
        endpoint("2b", received=5, access="ro", state="joining"),
    )
    await agent.report(
        wiring(
            bus("vcan0", *members, rules_present=6),
            bus("can0", physical=True, state="bus-off"),
            findings=(
                wrong("vcan0", "2 rules missing"),
                wrong("endpoint 1a0000000000", "vx1a is down"),
                wrong("vxLeft", "ours, and belongs to nothing that is known"),
            ),
            recoveries=(mended(), mended(Recovered.DEVICE, "vcan0")),
        )
    )
    can0, vcan0 = await world.items("can-buses")
    assert vcan0 == await world.get(f"can-buses/{vcan0['id']}")
    assert (vcan0["device"], vcan0["condition"], vcan0["state"]) == ("vcan0", "faulty", "")
    assert (can0["physical"], can0["state"], can0["condition"]) == (True, "bus-off", "healthy")
    assert (vcan0["rules_wanted"], vcan0["rules_present"]) == (8, 6)
    assert [vcan0[name] for name in ("received", "sent", "dropped")] == [15, 3, 1]
    assert (vcan0["agent_name"], vcan0["agent_online"], vcan0["gone_at"]) == ("gw", True, None)
    assert vcan0["host_id"] == (await world.one("hosts"))["id"]
    assert vcan0["networks"] == ["a" * 64]
    assert vcan0["endpoints"][1] == {
        "id": members[1].id,
        "network": "a" * 64,
        "state": "joining",
        "interface": "vx2b",
        "access": "ro",
        "received": 5,
        "sent": 0,
        "dropped": 0,
    }
    assert [f["what"] for f in vcan0["findings"]] == ["2 rules missing", "vx1a is down"]
    driver = await world.one("can-drivers")
    assert driver == await world.get(f"can-drivers/{driver['id']}")
    assert [f["subject"] for f in driver["findings"]] == ["vxLeft"]
    assert (driver["version"], driver["modules"]["vxcan"]) == ("0.3.0", True)
    assert driver["totals"]["recoveries"] == {"device": 1, "rules": 2}
    assert driver["totals"]["calls"][1]["ok"] is False
    second, first = await world.items("can-recoveries")
    assert (first["kind"], first["subject"], second["kind"]) == ("rules", "4 rules", "device")
    assert first["can_bus_id"] == vcan0["id"]
