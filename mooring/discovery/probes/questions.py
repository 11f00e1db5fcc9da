"""Pure. What is asked of a port that says nothing by itself: bytes to send, and whose answer it is.

Every question reads and changes nothing. An answer only shows which protocol is spoken; what speaks
it is told by the catalogue, which reads the answer as a ``banner`` with this question's name.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

MARK = b"MOOR"
"""Where a protocol lets us choose a number that comes back: no echo of another's."""


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    send: bytes
    answer: re.Pattern[bytes]
    """What an answer of this protocol begins with; a mere echo is never one."""
    ports: tuple[int, ...]
    """Where it is asked first."""
    anywhere: bool = True
    """Asked of any port that stays silent; else only of its own ports."""
    from_any_port: bool = False
    """Over UDP: it is answered from another port than it was sent to."""

    def answered(self, said: bytes) -> bool:
        return not said.startswith(self.send) and self.answer.match(said) is not None


def _question(
    name: str,
    send: bytes,
    answer: bytes,
    *ports: int,
    anywhere: bool = True,
    from_any_port: bool = False,
) -> Question:
    pattern = re.compile(answer, re.DOTALL)
    return Question(name, send, pattern, ports, anywhere, from_any_port)


def _sized(body: bytes) -> bytes:
    """With its length before it, in four bytes."""
    return struct.pack(">I", len(body)) + body


def _ber(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


def _mqtt() -> bytes:
    """CONNECT (3.1.1, clean session) and SUBSCRIBE to the broker's version, then DISCONNECT."""
    client = b"mooring-identify"
    connect = b"\x00\x04MQTT\x04\x02\x00\x0a" + struct.pack(">H", len(client)) + client
    topic = b"$SYS/broker/version"
    subscribe = b"\x00\x01" + struct.pack(">H", len(topic)) + topic + b"\x00"
    return _ber(0x10, connect) + _ber(0x82, subscribe)


def _mongodb() -> bytes:
    """OP_QUERY {isMaster: 1} on admin.$cmd: the one that servers of every age answer."""
    document = b"\x10isMaster\x00\x01\x00\x00\x00\x00"
    bson = struct.pack("<i", len(document) + 4) + document
    body = struct.pack("<i", 0) + b"admin.$cmd\x00" + struct.pack("<ii", 0, -1) + bson
    return struct.pack("<i4sii", len(body) + 16, MARK, 0, 2004) + body


def _smb() -> bytes:
    """SMB2 NEGOTIATE (MS-SMB2 2.2.3) with the dialects 2.0.2 to 3.0.2."""
    header = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ", 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + bytes(16)
    dialects = struct.pack("<4H", 0x0202, 0x0210, 0x0300, 0x0302)
    body = struct.pack("<HHHHI16sQ", 36, 4, 1, 0, 0, b"mooring-identify", 0) + dialects
    return _sized(header + body)


def _dns(name: bytes, kind: int, klass: int) -> bytes:
    labels = b"".join(bytes((len(part),)) + part for part in name.split(b".") if part)
    return (
        MARK[:2]
        + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack(">xHH", kind, klass)
    )


VERSION_BIND = _dns(b"version.bind", 16, 3)
"""A DNS query for version.bind, TXT, class CHAOS."""


def _ldap() -> bytes:
    """Search of the root DSE (RFC 4512, 5.1) for all it says of itself."""
    return _ber(
        0x30,
        _ber(0x02, b"\x01"),
        _ber(
            0x63,
            _ber(0x04),
            _ber(0x0A, b"\x00"),
            _ber(0x0A, b"\x00"),
            _ber(0x02, b"\x01"),
            _ber(0x02, b"\x05"),
            _ber(0x01, b"\x00"),
            _ber(0x87, b"objectClass"),
            _ber(0x30, _ber(0x04, b"*"), _ber(0x04, b"+")),
        ),
    )


def _rpc_datagram(program: int, version: int, procedure: int) -> bytes:
    """An ONC RPC call (RFC 5531) without credentials."""
    return MARK + struct.pack(">IIIII", 0, 2, program, version, procedure) + bytes(16)


def _rpc(program: int, version: int, procedure: int) -> bytes:
    """The same over TCP, with its length."""
    call = _rpc_datagram(program, version, procedure)
    return struct.pack(">I", 0x80000000 | len(call)) + call


def _prelogin() -> bytes:
    """TDS PRELOGIN (MS-TDS 2.2.6.5): version and encryption."""
    options = b"\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff"
    body = options + bytes(6) + b"\x02"
    return struct.pack(">BBHHBB", 0x12, 1, len(body) + 8, 0, 0, 0) + body


def _minecraft() -> bytes:
    """The server list's ping: handshake for status, then the status request."""
    host = b"mooring"
    handshake = b"\x00\x00" + bytes((len(host),)) + host + struct.pack(">H", 25565) + b"\x01"
    return bytes((len(handshake),)) + handshake + b"\x01\x00"


def _opcua() -> bytes:
    """The Hello of OPC UA's TCP transport (OPC 10000-6, 7.1.2.3)."""
    url = b"opc.tcp://mooring"
    body = struct.pack("<5II", 0, 65536, 65536, 0, 0, len(url)) + url
    return b"HELF" + struct.pack("<I", len(body) + 8) + body


_RPC_SAID = rb"MOOR\x00\x00\x00\x01\x00\x00\x00\x00"
_RPC_REPLY = rb"\x80\x00.." + _RPC_SAID
_SIP = (
    # rport: over UDP it is answered where it came from, not at port 5060 (RFC 3581).
    b"OPTIONS sip:mooring SIP/2.0\r\nVia: SIP/2.0/TCP mooring;rport;branch=z9hG4bKmooring\r\n"
    b"From: <sip:mooring@mooring>;tag=m\r\nTo: <sip:mooring>\r\nCall-ID: mooring\r\n"
    b"CSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\nContent-Length: 0\r\n\r\n"
)

QUESTIONS: tuple[Question, ...] = (
    _question("redis", b"INFO server\r\n", rb"\$\d+\r\n# Server|-NOAUTH |-NOPERM |-DENIED ", 6379),
    _question("postgresql", struct.pack(">II", 8, 80877103), rb"[SN]\Z", 5432, 5433, 6432),
    _question("mqtt", _mqtt(), rb"\x20\x02\x00[\x00-\x05]", 1883, 8883),
    _question("memcached", b"version\r\n", rb"VERSION \d", 11211),
    _question("mongodb", _mongodb(), rb".{8}MOOR\x01\x00\x00\x00", 27017, 27018),
    _question(
        "amqp",
        b"AMQP\x00\x00\x09\x01",
        rb"\x01\x00\x00.{4}\x00\x0a\x00\x0a|AMQP[\x00-\x03]",
        5672,
        5671,
    ),
    _question("ldap", _ldap(), rb"\x30.{1,5}\x02\x01\x01[\x64\x65]", 389, 636, 3268),
    _question("smb", _smb(), rb"\x00.{3}[\xfe\xff]SMB", 445, 139),
    _question(
        "rdp",
        bytes.fromhex("030000130ee00000000000010008000b000000"),
        rb"\x03\x00\x00[\x0b\x13].\xd0",
        3389,
    ),
    _question("dns", struct.pack(">H", len(VERSION_BIND)) + VERSION_BIND, rb"..MO[\x80-\xff]", 53),
    _question(
        "rtsp",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: mooring\r\n\r\n",
        rb"RTSP/1\.0 \d",
        554,
        8554,
    ),
    _question("sip", _SIP, rb"SIP/2\.0 \d", 5060),
    _question(
        "zookeeper", b"srvr\n", rb"Zookeeper version|srvr is not executed|This ZooKeeper", 2181
    ),
    _question(
        "kafka", _sized(b"\x00\x12\x00\x00" + MARK + b"\x00\x07mooring"), rb".{4}MOOR\x00", 9092
    ),
    _question(
        "cassandra", b"\x04\x00\x00\x00\x05\x00\x00\x00\x00", rb"[\x83-\x85]\x00..\x06", 9042
    ),
    _question("mssql", _prelogin(), rb"\x04\x01\x00.{5}\x00\x00", 1433),
    _question("minecraft", _minecraft(), rb'.{2,7}\{.*"(version|players|description)"', 25565),
    _question("rpcbind", _rpc(100000, 2, 4), _RPC_REPLY, 111),
    _question("nfs", _rpc(100003, 3, 0), _RPC_REPLY, 2049, anywhere=False),
    _question("socks5", b"\x05\x01\x00", rb"\x05[\x00\xff]\Z", 1080),
    _question("ajp", b"\x12\x34\x00\x01\x0a", rb"AB\x00\x01\x09", 8009, anywhere=False),
    _question("afp", b"\x00\x03\x00\x01" + bytes(12), rb"\x01\x03\x00\x01", 548, anywhere=False),
    _question(
        "zabbix",
        b"ZBXD\x01" + struct.pack("<Q", 13) + b"agent.version",
        rb"ZBXD\x01",
        10050,
        10051,
        anywhere=False,
    ),
    # Read Device Identification (Modbus Application Protocol 1.1b3, 6.21), of unit 1.
    _question(
        "modbus",
        b"MO\x00\x00\x00\x05\x01\x2b\x0e\x01\x00",
        rb"MO\x00\x00\x00.\x01[\x2b\xab]",
        502,
        anywhere=False,
    ),
    _question("opcua", _opcua(), rb"(ACK|ERR)F.{4}", 4840, anywhere=False),
    _question("esphome", b"\x00\x00\x01", rb"\x00.{1,2}\x02|\x01\x00", 6053, anywhere=False),
)


def _number(value: int) -> bytes:
    return _ber(0x02, bytes((value,)))


def _snmp() -> bytes:
    """SNMPv2c GET of sysDescr.0 (RFC 3418) with the community ``public``."""
    wanted = _ber(0x30, _ber(0x06, bytes.fromhex("2b06010201010100")), _ber(0x05))
    get = _ber(0xA0, _ber(0x02, MARK), _number(0), _number(0), _ber(0x30, wanted))
    return _ber(0x30, _number(1), _ber(0x04, b"public"), get)


def _snmp_v3() -> bytes:
    """The discovery of an SNMPv3 engine (RFC 3414, 4): no user, and nothing is read."""
    head = _ber(0x30, _ber(0x02, MARK), _ber(0x02, b"\x05\xdc"), _ber(0x04, b"\x04"), _number(3))
    nobody = _ber(0x30, _ber(0x04), _number(0), _number(0), *[_ber(0x04)] * 3)
    get = _ber(0xA0, _ber(0x02, MARK), _number(0), _number(0), _ber(0x30))
    scoped = _ber(0x30, _ber(0x04), _ber(0x04), get)
    return _ber(0x30, _number(3), head, _ber(0x04, nobody), scoped)


def _ike() -> bytes:
    """IKE_SA_INIT (RFC 7296, 1.2) that nobody takes: DES, MD5 and the group of 768 bits."""
    transforms = ((1, 2), (2, 1), (3, 1), (4, 1))
    offered = b"".join(
        struct.pack(">BBHBBH", 3 if kind < 4 else 0, 0, 8, kind, 0, which)
        for kind, which in transforms
    )
    proposal = struct.pack(">BBHBBBB", 0, 0, len(offered) + 8, 1, 1, 0, 4) + offered
    association = struct.pack(">BBH", 34, 0, len(proposal) + 4) + proposal
    exchange = struct.pack(">BBHHH", 40, 0, 104, 1, 0) + b"\x02" * 96
    nonce = struct.pack(">BBH", 0, 0, 20) + b"mooring-identify"
    body = association + exchange + nonce
    return (
        b"MOORING!" + bytes(8) + struct.pack(">BBBBII", 33, 0x20, 34, 8, 0, len(body) + 28) + body
    )


_SSDP = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\n'
    b"MX: 1\r\nST: ssdp:all\r\n\r\n"
)
_NETBIOS = b"C" + b"K" + b"A" * 30
"""The name ``*``, in the encoding of RFC 1001, 14.1."""

UDP_QUESTIONS: tuple[Question, ...] = (
    _question("dns", VERSION_BIND, rb"MO[\x80-\xff]", 53),
    # Version 4, mode 3; the time that we say we send at comes back.
    _question("ntp", b"\x23" + bytes(39) + b"MOORING!", rb"[\x04-\xfc].{23}MOORING!", 123),
    _question("ssdp", _SSDP, rb"HTTP/1\.1 200", 1900),
    _question(
        "mdns", _dns(b"_services._dns-sd._udp.local", 12, 1), rb"(MO|\x00\x00)[\x80-\xff]", 5353
    ),
    _question("netbios", _dns(_NETBIOS, 33, 1), rb"MO[\x80-\xff]", 137),
    _question("sip", _SIP.replace(b"SIP/2.0/TCP", b"SIP/2.0/UDP"), rb"SIP/2\.0 \d", 5060),
    _question(
        "coap", b"\x40\x01" + MARK[:2] + b"\xbb.well-known\x04core", rb"[\x50-\x6f].MO", 5683
    ),
    # An ASF presence ping: a server's own management controller answers it.
    _question(
        "rmcp",
        bytes.fromhex("0600ff06000011be80000000"),
        rb"\x06\x00.{2}\x00\x00\x11\xbe\x40",
        623,
    ),
    _question(
        "stun",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42mooring-stun",
        rb"\x01\x01..\x21\x12\xa4\x42",
        3478,
    ),
    _question("openvpn", b"\x38MOORING!" + bytes(5), rb"\x40.{8}.*MOORING!", 1194),
    _question("snmp", _snmp(), rb"\x30.{1,3}\x02\x01\x01\x04\x06public\xa2.{1,3}\x02\x04MOOR", 161),
    _question("snmp-v3", _snmp_v3(), rb"\x30.{1,3}\x02\x01\x03\x30.\x02\x04MOOR.*\xa8", 161),
    # A file that is nowhere: the answer is that it is not there, from a port of its own.
    _question(
        "tftp",
        b"\x00\x01mooring-identify\x00octet\x00",
        rb"\x00\x05\x00[\x00-\x08].*\x00\Z",
        69,
        from_any_port=True,
    ),
    _question("rpcbind", _rpc_datagram(100000, 2, 4), _RPC_SAID, 111),
    _question("memcached", b"MO\x00\x00\x00\x01\x00\x00version\r\n", rb"MO.{6}VERSION \d", 11211),
    _question("ike", _ike(), rb"MOORING!.{9}\x20\x22\x20", 500),
    # What is my address outside? (RFC 6886, 3.2)
    _question("nat-pmp", bytes(2), rb"\x00\x80\x00[\x00-\x05].{8}\Z", 5351),
    _question("mumble", bytes(4) + b"MOORING!", rb"\x00[\x01-\x09]..MOORING!.{12}\Z", 64738),
)


def in_order(port: int) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """The questions for a port: those that it is usual for, and those that suit any."""
    first = tuple(q for q in QUESTIONS if port in q.ports)
    return first, tuple(q for q in QUESTIONS if q.anywhere and q not in first)
