"""What a person must do before a link can be made, in words; the same for each transport."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from mooring.forward.address import Address
from mooring.forward.transport import Blocked, Lost, Options, Peer, Silent

NO_SIGN = "no sign of life for too long"


def lost(attempted: str, why: str) -> Lost:
    """The end of a link, by the words for it."""
    return Silent(attempted, why) if why == NO_SIGN else Lost(attempted, why)


def words(address: Address, options: Options) -> list[str]:
    """What is said to ``ssh`` to log in there."""
    words = []
    if options.config is not None:
        words += ["-F", str(options.config)]
    if options.known_hosts is not None:
        words += ["-o", f"UserKnownHostsFile={options.known_hosts}"]
    return words + _way_in(address, options, address.user)


def _way_in(address: Address, options: Options, user: str | None) -> list[str]:
    """With which key, at which port, as whom and where."""
    words = []
    if options.identity is not None:
        words += ["-i", str(options.identity)]
    if address.port is not None:
        words += ["-p", str(address.port)]
    return [*words, f"{user}@{address.host}" if user else address.host]


def login(address: Address, options: Options) -> str:
    """The same as a shell takes it."""
    return shlex.join(words(address, options))


def by_hand(address: Address, options: Options) -> str:
    """The command by which a person logs in there once."""
    return f"ssh {login(address, options)} true"


def copy_key(address: Address, options: Options, user: str | None = None) -> str:
    """The command by which a person lets a key in there."""
    return shlex.join(["ssh-copy-id", *_way_in(address, options, user or address.user)])


def unknown_host_key(
    address: Address, options: Options, kind: str = "", fingerprint: str = ""
) -> Blocked:
    shown = f": it shows {kind} {fingerprint}" if fingerprint else ""
    return Blocked(
        f"verifying the host key of {address}",
        f"it is not among the known hosts{shown}",
        "compare the fingerprint with the host's own, there: ssh-keygen -lf "
        "/etc/ssh/ssh_host_ed25519_key.pub; then accept it here once by hand: "
        f"{by_hand(address, options)}",
    )


def changed_host_key(
    address: Address, options: Options, kind: str, fingerprint: str, removal: str
) -> Blocked:
    """``removal`` says how the old key is removed from the known hosts."""
    shown = f" (now {kind} {fingerprint})" if fingerprint else ""
    return Blocked(
        f"verifying the host key of {address}",
        f"it has changed{shown}: another host may answer in its place",
        f"if the host was installed anew: {removal}, then accept the new one by hand once: "
        f"{by_hand(address, options)}",
    )


def denied(
    address: Address,
    options: Options,
    user: str,
    tried: Sequence[str],
    locked: Sequence[Path] = (),
) -> Blocked:
    """The remote side takes none of the keys. ``locked`` are keys that need a passphrase."""
    why = f"the user {user} was denied; tried: {', '.join(tried) if tried else 'no key at all'}"
    if locked:
        keys = " ".join(str(path) for path in locked)
        return Blocked(
            f"logging in at {address}",
            f"{why}; not tried, since a passphrase is needed: {keys}",
            f"put it into an SSH agent: ssh-add {keys} (and see that SSH_AUTH_SOCK is set here)",
        )
    another = "another key with" if options.identity is None else "another"
    return Blocked(
        f"logging in at {address}",
        why,
        f"name {another} --identity, or let the key in there: {copy_key(address, options, user)}",
    )


# --- what ssh says on its standard error

_BLOCKED = re.compile(
    r".*( line \d+: |Too many authentication failures|Bad (owner or permissions|SSH2)|"
    r"Unable to negotiate with|Can't open user config file|Load key \S+).*"
)
"""Lines that tell what a person must do; the first of them is the one that counts."""
_NOISE = re.compile(
    r"^(@+|Warning: Permanently added|debug\d: |\*\* |Killed by signal|mux_|channel \d+: |"
    r"Authenticated to |Transferred: |Bytes per second: )"
)
_REACHED = re.compile(r"^Authenticated to .* \(\[([^\]]+)\]:(\d+)\) using ")
_REASONS = (
    (re.compile(r"Could not resolve hostname \S+ (.+)"), "its name can't be resolved: {}"),
    (re.compile(r"connect to host \S+ port \d+: (.+)"), "{}"),
    (re.compile(r"Timeout, server .+ not responding"), NO_SIGN),
)


def from_ssh(address: Address, options: Options, said: Sequence[str]) -> Blocked | Lost:
    """Why ``ssh`` ended before it had logged in, from the lines that it wrote."""
    text = "\n".join(said)
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in text:
        found = re.search(r"fingerprint for the (\S+) key.*\n(SHA256:\S+?)\.?$", text, re.MULTILINE)
        kind, fingerprint = found.groups() if found else ("", "")
        where = re.search(r"Offending \S+ key in (.+):(\d+)$", text, re.MULTILINE)
        removal = f"remove line {where[2]} of {where[1]}" if where else "remove the old key"
        return changed_host_key(address, options, kind, fingerprint, removal)
    if "Host key verification failed" in text:
        return unknown_host_key(address, options)
    hand = by_hand(address, options)
    if found := re.search(r"(?:(\S+)@\S+: )?Permission denied \(([^)]*)\)", text):
        user = found[1] or address.user or "of this account"
        return Blocked(
            f"logging in at {address}",
            f"the user {user} was denied (the host takes: {found[2]})",
            "a key that needs a passphrase must be in an SSH agent (ssh-add); else see why by "
            f"hand: {hand.replace('ssh', 'ssh -v', 1)}",
        )
    attempted = f"connecting to {address}"
    if found := _BLOCKED.search(text):
        return Blocked(attempted, found[0].strip(), f"see: {hand}")
    return Lost(attempted, last_words(said) or "ssh ended without a word")


def reached(said: Sequence[str]) -> Peer | None:
    """Where ``ssh`` connected to first, by itself, when it logged in."""
    found = next((found for line in said if (found := _REACHED.match(line))), None)
    return (found[1], int(found[2])) if found else None


def last_words(said: Sequence[str]) -> str:
    """The last line that tells something, without ssh's own name before it."""
    for line in reversed(said):
        line = line.strip().removeprefix("ssh: ")
        if not line or _NOISE.match(line):
            continue
        for pattern, words in _REASONS:
            if found := pattern.search(line):
                return words.format(*(group.lower() for group in found.groups()))
        return line
    return ""
