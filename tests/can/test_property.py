"""Random sequences of verbs, crashes and changes by hand: after repair health is green."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.can import health, journal, names, recover, wiring
from mooring.core.errors import MooringError
from mooring.model.can import Access, Filter, FoundRule, Link, Rule
from tests.can.fakes import HOST, Crash
from tests.can.plugin import Container, Plugin

SEQUENCES = 1000
STEPS = 25


class Story:
    """One machine, and what happens to it."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.plugin = Plugin(folder)
        world = self.plugin.world
        world.add("can0", "can")
        self.foreign = [world.add("vcan9"), world.add("eth0", "", can=False)]
        self.foreign.append(world.add("vxforeign", "vxcan"))
        self.rules = [Rule(self.foreign[0].index, self.foreign[2].index, 0, 0)]
        world.rules += self.rules
        self.networks: list[str] = []
        self.containers: list[Container] = []

    def step(self) -> None:
        do = self.chance.choice(self.deeds)
        crashes = self.chance.random() < 0.25
        if crashes:
            self.plugin.world.crash_at = self.plugin.world.calls + self.chance.randint(1, 9)
        try:
            do(self)
        except MooringError:
            pass
        except Crash:
            self.plugin.world.crash_at = None
            self.plugin.restart()
            if self.chance.random() < 0.5:
                self.plugin.driver.buses.mend()
        self.plugin.world.crash_at = None

    # What Docker does. What it was not answered it takes as failed.

    def create(self) -> None:
        device = self.chance.choice(["vcan0", "vcan1", "vcan9", "can0"])
        new = next(self.plugin.ids)
        options = {"vxcan__dev": device[:-1], "vxcan__id": device[-1]}
        self.plugin.network(new, **options)
        self.networks.append(new)

    def remove(self) -> None:
        if self.networks:
            gone = self.networks.pop(self.chance.randrange(len(self.networks)))
            self.containers = [one for one in self.containers if one.network != gone]
            self.plugin.delete_network(gone)

    def start(self) -> None:
        if not self.networks:
            return
        asked = self.chance.choice([{}, {"vxcan__access": "ro"}, {"vxcan__filter": "1:7FF,2:7FF"}])
        bus = self.chance.choice(self.networks)
        new = Container(self.plugin, bus, next(self.plugin.ids))
        given = {key.replace("__", "."): value for key, value in asked.items()}
        try:
            self.plugin.call("CreateEndpoint", network=bus, endpoint=new.endpoint, options=given)
            new.join()
        except MooringError:
            self.plugin.call("DeleteEndpoint", network=bus, endpoint=new.endpoint)
            raise
        new.enter()
        self.containers.append(new)

    def stop(self) -> None:
        if self.containers:
            one = self.containers.pop(self.chance.randrange(len(self.containers)))
            try:
                self.plugin.call("Leave", network=one.network, endpoint=one.endpoint)
            finally:
                self.plugin.world.bring_back(one.sandbox)
                self.plugin.world.end_namespace(one.sandbox)
            self.plugin.call("DeleteEndpoint", network=one.network, endpoint=one.endpoint)

    def join_again(self) -> None:
        if self.containers:
            one = self.chance.choice(self.containers)
            one.join()
            if not one.end.away:
                one.enter()

    # What happens to the machine.

    def die(self) -> None:
        if self.containers:
            self.containers.pop(self.chance.randrange(len(self.containers))).die()

    def reboot(self) -> None:
        self.plugin.reboot()
        self.plugin.world.arrives = None
        self.containers = []
        world = self.plugin.world
        self.foreign = [world.add("vcan9"), world.add("eth0", "", can=False)]
        self.foreign.append(world.add("vxforeign", "vxcan"))
        self.rules = [Rule(self.foreign[0].index, self.foreign[2].index, 0, 0)]
        world.rules += self.rules

    def restart(self) -> None:
        self.plugin.restart()

    def time_passes(self) -> None:
        self.plugin.now += self.chance.choice([1, 100, 1000])

    # What somebody does by hand.

    def _ours(self) -> list[Link]:
        links = self.plugin.world.links[HOST].values()
        return [link for link in links if link.alias.startswith("mooring:")]

    def delete_by_hand(self) -> None:
        if ours := self._ours():
            self.plugin.world.remove(self.chance.choice(ours).index)

    def down_by_hand(self) -> None:
        if ours := self._ours():
            link = self.chance.choice(ours)
            self.plugin.world.links[HOST][link.index] = replace(link, up=False)

    def drop_rule_by_hand(self) -> None:
        ours = [rule for rule in self.plugin.world.rules if rule not in self.rules]
        if ours:
            self.plugin.world.rules.remove(self.chance.choice(ours))

    def double_rule_by_hand(self) -> None:
        ours = [rule for rule in self.plugin.world.rules if rule not in self.rules]
        if ours:
            self.plugin.world.rules.append(self.chance.choice(ours))

    deeds: tuple[Callable[[Story], None], ...] = (
        create, remove, start, start, start, stop, join_again, die, reboot, restart, time_passes,
        delete_by_hand, down_by_hand, drop_rule_by_hand, double_rule_by_hand,
    )  # fmt: skip

    # What must hold.

    def check(self) -> None:
        plugin = self.plugin
        world = plugin.world
        for link in self.foreign:
            now = world.links[HOST].get(link.index)
            assert now == link, f"{link.name} was touched"
        assert all(world.rules.count(rule) >= 1 for rule in self.rules)
        if not world.named("can0"):
            raise AssertionError("the hardware is gone")
        # A long time after, so that all who are dead are known to be.
        plugin.now += 10_000
        told = plugin.call("Repair")
        assert not told["failed"], told
        again = plugin.call("Repair")
        assert again == {"mended": 0, "failed": []}
        links = list(world.links[HOST].values())
        found = health.check(
            plugin.journal.networks,
            plugin.journal.endpoints,
            links,
            [FoundRule(rule) for rule in world.rules],
            {},
            recover.conditions(plugin.journal.endpoints.values(), links, world.lives, plugin.now),
        )
        # Hardware comes up by somebody's hand after a reboot, or by a bit rate.
        findings = [one for one in found.findings if one.subject != "can0"]
        assert findings == []
        self._containers_are_wired()

    def _containers_are_wired(self) -> None:
        """Every container that runs has an interface that hears what it shall."""
        plugin, world = self.plugin, self.plugin.world
        pairs = recover.pairs(world.links[HOST].values())
        for container in self.containers:
            assert container.endpoint in plugin.journal.endpoints
            pair = pairs[container.endpoint]
            assert pair.away
            assert world.links[container.sandbox]
            device = world.named(plugin.journal.networks[container.network].device)
            assert device is not None
            into = {rule for rule in world.rules if rule.target == pair.index}
            assert {rule.source for rule in into} >= {device.index}
        assert set(plugin.journal.networks) >= set(self.networks)
        ours = {i for i, link in world.links[HOST].items() if names.marked_endpoint(link.alias)}
        at_ours = [r for r in world.rules if r.source in ours or r.target in ours]
        assert len(at_ours) == len(set(at_ours))


@pytest.mark.parametrize("part", range(10))
def test_after_repair_health_is_green_and_nothing_foreign_was_touched(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = journal.write
    stories: list[Story] = []

    def write(path: Path, content: bytes, *, synced: bool) -> None:
        """Every write is a moment at which the process may die, before it or half-way."""
        world = stories[-1].plugin.world
        world.calls += 1
        if world.crash_at is not None and world.calls >= world.crash_at:
            if world.calls == world.crash_at:
                path.write_bytes(content[: len(content) // 2])
            raise Crash("write")
        whole(path, content, synced=False)

    monkeypatch.setattr(journal, "write", write)
    monkeypatch.setattr(journal, "sync_folder", lambda _: None)
    for number in range(SEQUENCES // 10):
        seed = part * 1000 + number
        stories.append(Story(tmp_path / str(seed), random.Random(seed)))
        try:
            for _ in range(STEPS):
                stories[-1].step()
            stories[-1].check()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            error.add_note(stories[-1].plugin.log.getvalue()[-3000:])
            raise


def test_a_plan_that_was_applied_leaves_nothing_to_do() -> None:
    chance = random.Random(1)
    for _ in range(200):
        own = chance.sample(range(10, 30), chance.randint(0, 5))
        wanted = wiring.rules(5, [wiring.Party(index) for index in own])
        there = [
            Rule(chance.choice([5, *own, 99]), chance.choice([5, *own, 99]), chance.choice([0, 1]))
            for _ in range(10)
        ]
        todo = wiring.difference(wanted, map(FoundRule, there), own, {5})
        after = list(there)
        for rule in todo.remove:
            after.remove(rule)
        after += todo.add
        assert not wiring.difference(wanted, map(FoundRule, after), own, {5})
        assert [rule for rule in after if 99 in (rule.source, rule.target)] == [
            rule for rule in there if 99 in (rule.source, rule.target)
        ]


def test_the_rules_of_one_party_are_those_of_the_bus_at_its_end() -> None:
    chance = random.Random(2)
    passing = (Filter(1, 0x7FF), Filter(2, 0x7FF))
    for _ in range(200):
        parties = [
            wiring.Party(
                index,
                chance.choice(list(Access)),
                chance.choice([(), passing]),
                chance.random() < 0.5,
            )
            for index in chance.sample(range(10, 30), chance.randint(1, 6))
        ]
        one = chance.choice(parties).index
        found = wiring.rules_of(5, parties, one)
        expected = [r for r in wiring.rules(5, parties) if one in (r.source, r.target)]
        assert sorted(found, key=repr) == sorted(expected, key=repr)
