"""``mooring can repair``: make the kernel what the journal says it shall be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from mooring.cli.can import places


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "repair",
        help="mend what health finds",
        description="Make interfaces and rules again that are missing, and remove those of ours "
        "that nobody wants. Take up networks that Docker has and the driver does not know, and "
        "forget those that Docker has no more. What Mooring did not make is not touched.",
    )
    places.add(parser)
    parser.set_defaults(run=repair)


def repair(asked: argparse.Namespace) -> int:
    from mooring.can import ask
    from mooring.can.protocol import Call, of_network
    from mooring.can.run import alone
    from mooring.core.lines import Lines

    def ask_driver(call: Call) -> object:
        return ask.ask(asked.socket, *of_network(call))

    try:
        told: Mapping[str, Any] = ask.ask(asked.socket, "Mooring.Repair")
        mended, failed = _settled(asked, ask_driver)
    except ask.NotServing:
        with alone(asked.state_dir, Lines("warning")) as driver:
            told = driver.answer(Call("Repair"))
            mended, failed = _settled(asked, driver.answer)
    errors = [*told["failed"], *failed]
    for error in errors:
        print(f"mooring: {error}", file=sys.stderr)
    print(f"{told['mended'] + mended} mended, {len(errors)} failed")
    return 1 if errors else 0


def _settled(
    asked: argparse.Namespace, call: Callable[[Any], object]
) -> tuple[int, tuple[str, ...]]:
    """How many networks were taken up or forgotten as Docker has them, and what failed."""
    from mooring.can import engine
    from mooring.can.buses import sandbox_lives
    from mooring.can.look import known

    found = engine.differs(lambda: known(asked.state_dir).networks, asked.socket.stem)
    if not found:
        return 0, ()
    endpoints = known(asked.state_dir).endpoints.values()
    in_use = {one.network for one in endpoints if sandbox_lives(one.sandbox)}
    settled = engine.settle(found, lambda network: network.id in in_use, call)
    return settled.done, settled.failed
