"""One bus put in order: its interface, an endpoint's pair, its rules. Kernel calls, no journal.

What is there already is taken as it is. Every function notes in ``undo`` how to take back what it
made, for the caller to run when the call as a whole fails.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from mooring.can import names, recover, wiring
from mooring.can.kernel import CanKernel, KernelError, by_name
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.model.can import Endpoint, IfDown, Link, Network, NetworkOptions, Settings

VIRTUAL = "vcan"


@dataclass(frozen=True, slots=True)
class Ready:
    """An interface that can be used, and whether it had to be made."""

    link: Link
    made: bool = False


def is_hardware(name: str, physical: bool | None) -> bool:
    """Whether a device that is not there is waited for, and not made."""
    return names.looks_like_hardware(name) if physical is None else physical


def ready_device(
    kernel: CanKernel,
    options: NetworkOptions,
    physical: bool | None,
    undo: ExitStack,
    log: Lines,
    *,
    make: bool = True,
) -> Ready:
    """The bus's interface, up: the one that is there, or a vcan made for it.

    ``physical`` says whether it has been hardware; None leaves that to its name. Hardware that is
    not there is never replaced.

    Raises:
        MooringError: it is not there and is not to be made, is no CAN, or is set otherwise.
    """
    name = options.device
    attempted = f"using the CAN device {name}"
    link = by_name(kernel.links().values(), name)
    if link is None and is_hardware(name, physical):
        raise MooringError(
            attempted,
            f"it is not there, and did not come within {options.wait:g} s",
            "plug it in and see that its driver is loaded; for a bus without hardware choose "
            "another vxcan.dev, as vcan",
        )
    if link is None:
        if not make:
            raise MooringError(
                attempted,
                "it is not there any more",
                "run `sudo mooring can repair`, which makes it",
            )
        return _made_device(kernel, name, undo)
    if not link.can:
        kind = link.kind or "other"
        raise MooringError(
            attempted, f"{name} is there and is no CAN interface (kind {kind})",
            "choose another vxcan.dev or vxcan.id",
        )  # fmt: skip
    if link.kind == VIRTUAL or names.is_bus_mark(link.alias):
        if not link.up:
            kernel.set_up(link)
    else:
        _set(kernel, link, options, log)
    return Ready(link)


def _made_device(kernel: CanKernel, name: str, undo: ExitStack) -> Ready:
    made = True
    try:
        undo.callback(kernel.delete, kernel.add_bus(name, names.bus_mark()), name)
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
        # Somebody was faster.
        made = False
    link = by_name(kernel.links().values(), name)
    if link is None:
        raise MooringError(f"making the interface {name}", "it was taken away at once")
    return Ready(link, made)


def _set(kernel: CanKernel, link: Link, options: NetworkOptions, log: Lines) -> None:
    """Set a physical device up as the options say, or see that it is so; it is never set down."""
    asked = options.settings
    differs = [
        f"{what} {is_} where {wanted} is asked for"
        for what, is_, wanted in _compared(link, asked)
        if is_ is not None and is_ != wanted
    ]
    if link.up:
        if differs:
            raise MooringError(
                f"using the CAN device {link.name}",
                f"it is up with {', '.join(differs)}, and can be set only while it is down",
                f"run `ip link set {link.name} down` and repeat the command, or change the option",
            )
        kernel.configure(link, Settings(txqueuelen=asked.txqueuelen))
        return
    if asked.bitrate is not None:
        kernel.configure(link, asked)
        kernel.set_up(link)
        log.info("device_set_up", device=link.name, bitrate=asked.bitrate)
    elif options.if_down is IfDown.ERROR:
        raise MooringError(
            f"using the CAN device {link.name}",
            "it is down",
            f"give the network a bitrate, or run `ip link set {link.name} up type can bitrate …`",
        )
    else:
        kernel.configure(link, asked)
        log.warning("device_down", device=link.name, remedy="give the network a bitrate")


def _compared(link: Link, asked: Settings) -> list[tuple[str, object, object]]:
    """What can be set only while a device is down: its name, what it is, what it shall be."""
    both: list[tuple[str, object, object | None]] = [
        ("bitrate", link.bitrate, asked.bitrate),
        ("dbitrate", link.dbitrate, asked.dbitrate),
        ("fd", link.fd, asked.fd),
        ("restart_ms", link.restart_ms, asked.restart_ms),
    ]
    return [(what, is_, wanted) for what, is_, wanted in both if wanted is not None]


def ready_pair(
    kernel: CanKernel, endpoint: str, network: str, undo: ExitStack, *, make: bool = True
) -> Ready:
    """The pair of an endpoint, its end on the host up.

    Raises:
        MooringError: it is not there and is not to be made, or cannot be.
    """
    links = kernel.links()
    link = recover.pairs(links.values()).get(endpoint)
    if link is not None:
        if not link.up:
            kernel.set_up(link)
        return Ready(link)
    if not make:
        raise MooringError(
            f"joining endpoint {endpoint[:12]}",
            "its interfaces are gone",
            "start the container again, or serve without --no-recover",
        )
    host, other = names.pair_names(endpoint, {one.name for one in links.values()})
    index = kernel.add_pair(host, other, names.endpoint_mark(endpoint, network))
    undo.callback(kernel.delete, index, host)
    found = kernel.links().get(index)
    if found is None:
        raise MooringError(f"making the interface {host}", "it was taken away at once")
    return Ready(found, made=True)


@dataclass(frozen=True, slots=True)
class Wired:
    """What came of wiring a bus."""

    added: int = 0
    removed: int = 0
    mended: int = 0
    """Rules added that were not of the endpoint for which it was done, and rules too many."""
    absent: tuple[str, ...] = ()
    """Endpoints that should be wired and have no pair: they are when they join."""


def wire(
    kernel: CanKernel,
    device: Link,
    members: Iterable[tuple[Endpoint, Network]],
    undo: ExitStack,
    *,
    joining: str = "",
    leaving: str = "",
    new: bool = False,
) -> Wired:
    """Make the rules at our ends of this bus those that shall be; no others are touched.

    With ``new`` it is known that no rule is at the end of who joins, and that all else is in order:
    its rules are made, and no other is looked at, of which there may be thousands.
    """
    found = recover.pairs(kernel.links().values())
    own: set[int] = set()
    parties: list[wiring.Party] = []
    absent: list[str] = []
    for endpoint, network in members:
        link = found.get(endpoint.id)
        if link is None:
            if endpoint.wired:
                absent.append(endpoint.id)
            continue
        own.add(link.index)
        if endpoint.wired and endpoint.id != leaving:
            if not link.up:
                kernel.set_up(link)
            parties.append(wiring.party(link.index, endpoint, network.options))
    if leaving in found:
        own.add(found[leaving].index)
    if new:
        todo = wiring.Difference(
            tuple(wiring.rules_of(device.index, parties, found[joining].index)), ()
        )
    else:
        todo = wiring.difference(
            wiring.rules(device.index, parties), kernel.rules(), own, {device.index}
        )
    if todo:
        kernel.change_rules(todo.remove, todo.add)
        if todo.add:
            undo.callback(kernel.change_rules, todo.add, ())
    concerned = {found[one].index for one in (joining, leaving) if one in found}
    mended = sum(
        rule.source not in concerned and rule.target not in concerned
        for rule in (*todo.add, *todo.remove)
    )
    return Wired(len(todo.add), len(todo.remove), mended, tuple(absent))
