"""Pure. Netlink's bytes for CAN links and can-gw rules: requests out, links and rules in.

Layouts and numbers are those of linux/if_link.h, linux/can/vxcan.h, linux/can/netlink.h,
linux/can/gw.h. Requests and the reading of answers stand side by side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from mooring.core import nlmsg
from mooring.core.nlmsg import Request
from mooring.model.can import Filter, FoundRule, Link, Rule, Settings

AF_CAN = 29
ARPHRD_CAN = 280

_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWROUTE, _RTM_DELROUTE = 16, 17, 24, 25

_IFINFOMSG = struct.Struct("=BxHiII")  # family, ARPHRD type, index, IFF flags, change
_RTCANMSG = struct.Struct("=BBH")  # family, gateway type, flags
_CAN_FILTER = struct.Struct("=II")  # id, mask
_CTRLMODE = struct.Struct("=II")  # mask, flags
_BITTIMING = struct.Struct("=8I")  # bit rate, sample point, tq, prop, phase 1, phase 2, sjw, brp

_IFF_UP = 1
_IFLA_IFNAME, _IFLA_LINK, _IFLA_TXQLEN = 3, 5, 13
_IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 18, 20, 28
_IFLA_EXT_MASK, _IFLA_LINK_NETNSID = 29, 37
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_PEER = 1  # VXCAN_INFO_PEER, and VETH_INFO_PEER too
_CAN_BITTIMING, _CAN_STATE, _CAN_CTRLMODE, _CAN_RESTART_MS = 1, 4, 5, 6
_CAN_DATA_BITTIMING = 9
_CTRLMODE_FD = 0x20
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_CGW_TYPE_CAN_CAN = 1
_CGW_HANDLED, _CGW_DROPPED, _CGW_SRC_IF, _CGW_DST_IF = 7, 8, 9, 10
_CGW_FILTER, _CGW_DELETED, _CGW_LIM_HOPS = 11, 12, 13
_CGW_PASSIVE = frozenset(range(_CGW_HANDLED, _CGW_LIM_HOPS + 1))
_NEW = nlmsg.NLM_F_CREATE | nlmsg.NLM_F_EXCL

ASK_LINKS = _IFINFOMSG.pack(0, 0, 0, 0, 0) + nlmsg.u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
ASK_RULES = _RTCANMSG.pack(AF_CAN, 0, 0)


# --- links ----------------------------------------------------------------------------------------


def new_link(index: int, name: str, kind: str) -> Request:
    """A link of a kind that needs no data, with an index that nothing has yet."""
    info = nlmsg.nested(_IFLA_LINKINFO, nlmsg.text(_IFLA_INFO_KIND, kind))
    return Request(_RTM_NEWLINK, _NEW, _link(index) + nlmsg.text(_IFLA_IFNAME, name) + info)


def new_pair(index: int, name: str, other: str, kind: str) -> Request:
    """A pair: ``name`` with the index, and ``other`` with the next."""
    peer = nlmsg.nested(_PEER, _link(index + 1) + nlmsg.text(_IFLA_IFNAME, other))
    info = nlmsg.nested(
        _IFLA_LINKINFO, nlmsg.text(_IFLA_INFO_KIND, kind), nlmsg.nested(_IFLA_INFO_DATA, peer)
    )
    return Request(_RTM_NEWLINK, _NEW, _link(index) + nlmsg.text(_IFLA_IFNAME, name) + info)


def mark(index: int, alias: str) -> Request:
    """Give a link its alias and set it up."""
    body = _link(index, _IFF_UP) + nlmsg.attribute(_IFLA_IFALIAS, alias.encode())
    return Request(_RTM_NEWLINK, 0, body)


def set_up(index: int) -> Request:
    return Request(_RTM_NEWLINK, 0, _link(index, _IFF_UP))


def rename(index: int, name: str) -> Request:
    return Request(_RTM_NEWLINK, 0, _link(index) + nlmsg.text(_IFLA_IFNAME, name))


def move(index: int, namespace: int, name: str = "") -> Request:
    """Into the network namespace of an open file; under a new name, if one is given."""
    body = _link(index) + nlmsg.u32(_IFLA_NET_NS_FD, namespace)
    return Request(_RTM_NEWLINK, 0, body + (nlmsg.text(_IFLA_IFNAME, name) if name else b""))


def delete_link(index: int) -> Request:
    return Request(_RTM_DELLINK, 0, _link(index))


def configure(index: int, settings: Settings) -> Request:
    """What is set on a CAN device while it is down."""
    data: list[bytes] = []
    if settings.bitrate is not None:
        data.append(_bittiming(_CAN_BITTIMING, settings.bitrate))
    if settings.dbitrate is not None:
        data.append(_bittiming(_CAN_DATA_BITTIMING, settings.dbitrate))
    fd = settings.dbitrate is not None or settings.fd
    if fd or settings.fd is not None:
        mode = _CTRLMODE.pack(_CTRLMODE_FD, _CTRLMODE_FD if fd else 0)
        data.append(nlmsg.attribute(_CAN_CTRLMODE, mode))
    if settings.restart_ms is not None:
        data.append(nlmsg.u32(_CAN_RESTART_MS, settings.restart_ms))
    info = nlmsg.nested(
        _IFLA_LINKINFO, nlmsg.text(_IFLA_INFO_KIND, "can"), nlmsg.nested(_IFLA_INFO_DATA, *data)
    )
    return Request(_RTM_NEWLINK, 0, _link(index) + info)


def queue_length(index: int, length: int) -> Request:
    return Request(_RTM_NEWLINK, 0, _link(index) + nlmsg.u32(_IFLA_TXQLEN, length))


def _link(index: int, up: int = 0) -> bytes:
    return _IFINFOMSG.pack(0, 0, index, up, up)


def _bittiming(kind: int, bitrate: int) -> bytes:
    return nlmsg.attribute(kind, _BITTIMING.pack(bitrate, 0, 0, 0, 0, 0, 0, 0))


def link(payload: bytes) -> Link:
    """An RTM_NEWLINK's.

    Raises:
        Malformed: a payload that is none.
    """
    if len(payload) < _IFINFOMSG.size:
        raise nlmsg.Malformed(f"{len(payload)} bytes where a link should be")
    _, link_type, index, flags, _ = _IFINFOMSG.unpack_from(payload)
    told = nlmsg.attributes(payload, _IFINFOMSG.size)
    info = nlmsg.attributes(told.get(_IFLA_LINKINFO, b""))
    kind = nlmsg.as_text(info.get(_IFLA_INFO_KIND))
    # The layout of the data is the driver's own.
    data = nlmsg.attributes(info.get(_IFLA_INFO_DATA, b"")) if kind == "can" else {}
    mode = data.get(_CAN_CTRLMODE, b"")
    return Link(
        index=index,
        name=nlmsg.as_text(told.get(_IFLA_IFNAME)),
        kind=kind,
        can=link_type == ARPHRD_CAN,
        up=bool(flags & _IFF_UP),
        alias=nlmsg.as_text(told.get(_IFLA_IFALIAS)),
        other=nlmsg.as_int(told.get(_IFLA_LINK)),
        away=_IFLA_LINK_NETNSID in told,
        txqueuelen=nlmsg.as_int(told.get(_IFLA_TXQLEN)) or 0,
        bitrate=nlmsg.as_int(data.get(_CAN_BITTIMING, b"")[:4]) or None,
        dbitrate=nlmsg.as_int(data.get(_CAN_DATA_BITTIMING, b"")[:4]) or None,
        fd=bool(_CTRLMODE.unpack_from(mode)[1] & _CTRLMODE_FD) if len(mode) >= 8 else None,
        restart_ms=nlmsg.as_int(data.get(_CAN_RESTART_MS)),
        state=nlmsg.as_int(data.get(_CAN_STATE)),
    )


# --- rules ----------------------------------------------------------------------------------------


def add_rule(rule: Rule) -> Request:
    return Request(_RTM_NEWROUTE, 0, _rule(rule))


def delete_rule(rule: Rule) -> Request:
    """One copy of the rule: the kernel wants all of it repeated, or says EINVAL."""
    return Request(_RTM_DELROUTE, 0, _rule(rule))


def _rule(rule: Rule) -> bytes:
    # Without an interface the kernel takes a deletion as one of all rules of the machine.
    assert rule.source > 0
    assert rule.target > 0
    body = _RTCANMSG.pack(AF_CAN, _CGW_TYPE_CAN_CAN, rule.flags)
    body += nlmsg.u32(_CGW_SRC_IF, rule.source) + nlmsg.u32(_CGW_DST_IF, rule.target)
    if rule.hops:
        body += nlmsg.u8(_CGW_LIM_HOPS, rule.hops)
    if rule.filter is not None:
        passing = _CAN_FILTER.pack(rule.filter.can_id, rule.filter.mask)
        body += nlmsg.attribute(_CGW_FILTER, passing)
    return body


def rules(payloads: Iterable[bytes]) -> list[FoundRule]:
    """The rules of a dump, but what is not can-gw's: without the module the kernel gives routes.

    Raises:
        Malformed: a payload of can-gw that is no rule.
    """
    found: list[FoundRule] = []
    for payload in payloads:
        if payload[:1] != bytes((AF_CAN,)):
            continue
        if len(payload) < _RTCANMSG.size:
            raise nlmsg.Malformed(f"{len(payload)} bytes where a can-gw rule should be")
        _, _, flags = _RTCANMSG.unpack_from(payload)
        told = nlmsg.attributes(payload, _RTCANMSG.size)
        passing = told.get(_CGW_FILTER)
        rule = Rule(
            source=nlmsg.as_int(told.get(_CGW_SRC_IF)) or 0,
            target=nlmsg.as_int(told.get(_CGW_DST_IF)) or 0,
            flags=flags,
            hops=nlmsg.as_int(told.get(_CGW_LIM_HOPS)) or 0,
            filter=Filter(*_CAN_FILTER.unpack_from(passing)) if passing else None,
        )
        found.append(
            FoundRule(
                rule,
                handled=nlmsg.as_int(told.get(_CGW_HANDLED)) or 0,
                dropped=nlmsg.as_int(told.get(_CGW_DROPPED)) or 0,
                deleted=nlmsg.as_int(told.get(_CGW_DELETED)) or 0,
                modifies=not told.keys() <= _CGW_PASSIVE,
            )
        )
    return found
