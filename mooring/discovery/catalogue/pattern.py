"""Pure. Regular expressions whose worst case is known: a text in, a pattern or ``BadPattern`` out.

Python's engine backtracks and cannot be interrupted, and what it reads comes from strangers. So a
pattern is taken apart before it is used: the number of ways in which its repeats can share a text
of the longest length allowed is counted, and a pattern with too many is refused.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mooring.discovery.seen import Sight

MOST_STEPS = 20_000_000
"""Steps of the engine in the worst case: some tenths of a second."""
_LONGEST = 500

# The engine's own parser. It has no public name, and is as old as the engine.
_parser: Any = importlib.import_module("re._parser")
_REPEATS = (_parser.MAX_REPEAT, _parser.MIN_REPEAT, _parser.POSSESSIVE_REPEAT)
_STARTS = (_parser.AT_BEGINNING, _parser.AT_BEGINNING_STRING)
_AT_MOST_ONE = frozenset(
    {
        _parser.ANY,
        _parser.AT,
        _parser.FAILURE,
        _parser.IN,
        _parser.LITERAL,
        _parser.NOT_LITERAL,
    }
)
"""Of one way and at most one character."""
_Chars = frozenset[str] | None
"""Those of ``_SAMPLE`` that may come; none when nothing does, None when it is not known."""
_NOTHING: _Chars = frozenset()
# ASCII, and one of each kind that a category may hold beyond it.
_SAMPLE = frozenset([*map(chr, range(128)), "\u0661", "\u03b1", "\u2003", "\u20ac"])
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    _parser.CATEGORY_DIGIT: str.isdigit,
    _parser.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    _parser.CATEGORY_SPACE: str.isspace,
    _parser.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    _parser.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    _parser.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}


class BadPattern(ValueError):
    """Why a pattern is not used, and what would do."""


@dataclass(frozen=True, slots=True)
class Pattern:
    text: str
    compiled: re.Pattern[str]
    needs: tuple[str, ...]
    """Texts, lower case, without one of which nothing matches: cheaper to look for."""

    def search(self, sight: Sight) -> re.Match[str] | None:
        if self.needs and not any(text in sight.lower for text in self.needs):
            return None
        return self.compiled.search(sight.text)


def read_pattern(text: str, longest: int) -> Pattern:
    """A pattern for texts of at most ``longest`` characters. Raises ``BadPattern``."""
    if len(text) > _LONGEST:
        raise BadPattern(f"it is longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(text, re.IGNORECASE | re.DOTALL)
            parsed = _parser.parse(text, re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise BadPattern(f"it is no regular expression: {error}") from None
    except (FutureWarning, DeprecationWarning, RecursionError, OverflowError) as error:
        raise BadPattern(f"it is no clear regular expression: {error}") from None
    ways, length = _cost(parsed, longest, _NOTHING)
    if _starts(parsed, compiled, longest) * (ways + length) > MOST_STEPS:
        raise BadPattern(
            f"it may take too long on a text of {longest} characters: bound its repeats "
            "([0-9.]{1,20} in place of [0-9.]+), nest none, or begin it with ^"
        )
    return Pattern(text, compiled, _needed(parsed))


def _starts(parsed: Any, compiled: re.Pattern[str], longest: int) -> float:
    """At how many places of a text a match may begin."""
    if compiled.flags & re.MULTILINE:
        return longest
    prefix = 0
    for what, argument in parsed:
        if what is _parser.AT and argument in _STARTS:
            return 1
        if what is not _parser.LITERAL:
            break
        prefix += 1
    return longest / max(1, prefix)


def _cost(parsed: Any, longest: int, then: _Chars) -> tuple[float, float]:
    """In how many ways it may match from one place on, and how many characters at most.

    ``then`` is what may follow it. A repeat that cannot be taken for what follows ends at one place
    only: it has one way, however long it is.
    """
    ways, length = 1.0, 0.0
    for what, argument in reversed(list(parsed)):
        w, n = _cost_of(what, argument, longest, then)
        ways, length = ways * w, min(length + n, float(longest))
        then = _firsts_of(what, argument, then)
    return ways, length


def _cost_of(what: Any, argument: Any, longest: int, then: _Chars) -> tuple[float, float]:
    if what in _REPEATS:
        least, most, part = argument
        most = min(most, longest)
        again = _firsts(part, then)
        ways, length = _cost(part, longest, then if most == 1 else _either(again, then))
        many = _power(ways, most) if ways > 1 else 1.0
        lengths = 1 if _apart(again, then) else most - min(least, most) + 1
        return many * lengths, length * most
    if what is _parser.SUBPATTERN:
        return _cost(argument[3], longest, then)
    if what is _parser.ATOMIC_GROUP:
        return _cost(argument, longest, None)
    if what in {_parser.ASSERT, _parser.ASSERT_NOT}:
        return _cost(argument[1], longest, None)
    if what is _parser.BRANCH:
        costs = [_cost(part, longest, then) for part in argument[1]]
        each = [w for w, _ in costs]
        return max(each) if _distinct(argument[1]) else sum(each), max(n for _, n in costs)
    if what is _parser.GROUPREF_EXISTS:
        costs = [_cost(part, longest, None) for part in argument[1:] if part]
        return sum(w for w, _ in costs), max(n for _, n in costs)
    if what is _parser.GROUPREF:
        return 1.0, float(longest)
    if what in _AT_MOST_ONE:
        return 1.0, 1.0
    # A later Python's engine may have what nobody here has counted.
    raise BadPattern(f"what it may cost is not known: it has a part of the kind {what}")


def _firsts(parsed: Any, then: _Chars) -> _Chars:
    """What it may begin with, which is what follows it where it may be empty."""
    for what, argument in reversed(list(parsed)):
        then = _firsts_of(what, argument, then)
    return then


def _firsts_of(what: Any, argument: Any, then: _Chars) -> _Chars:
    if what is _parser.LITERAL:
        return frozenset({chr(argument).lower(), chr(argument).upper()})
    if what is _parser.NOT_LITERAL:
        return _SAMPLE - {chr(argument).lower(), chr(argument).upper()}
    if what is _parser.ANY:
        return _SAMPLE
    if what is _parser.IN:
        negated = argument[0][0] is _parser.NEGATE
        return frozenset(c for c in _SAMPLE if any(_is(c, *one) for one in argument) != negated)
    if what is _parser.SUBPATTERN:
        return _firsts(argument[3], then)
    if what in _REPEATS:
        begins = _firsts(argument[2], then)
        return begins if argument[0] > 0 else _either(begins, then)
    if what is _parser.BRANCH:
        begins = _NOTHING
        for part in argument[1]:
            begins = _either(begins, _firsts(part, then))
        return begins
    return then if what is _parser.AT else None


def _either(one: _Chars, other: _Chars) -> _Chars:
    return None if one is None or other is None else one | other


def _apart(one: _Chars, other: _Chars) -> bool:
    return one is not None and other is not None and one.isdisjoint(other)


def _is(char: str, what: Any, argument: Any) -> bool:
    if what is _parser.CATEGORY:
        test = _CATEGORIES.get(argument)
        return test is None or test(char)
    cases = (ord(char.lower()), ord(char.upper()))
    if what is _parser.RANGE:
        return any(argument[0] <= code <= argument[1] for code in cases)
    return what is _parser.LITERAL and argument in cases


def _distinct(branches: Any) -> bool:
    """Whether the first character decides which branch it is."""
    firsts = [part[0] if len(part) else None for part in branches]
    literals = [f[1] for f in firsts if f is not None and f[0] is _parser.LITERAL]
    return len(literals) == len(firsts) == len({chr(code).lower() for code in literals})


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return float("inf")


def _needed(parsed: Any) -> tuple[str, ...]:
    """ASCII texts of which every match has one in it, in lower case; the longest that are sure."""
    best: tuple[str, ...] = ()
    run = ""
    for what, argument in [*parsed, (None, None)]:
        if what is _parser.LITERAL and argument < 128:
            run += chr(argument).lower()
            continue
        inner: tuple[str, ...] = ()
        if what is _parser.SUBPATTERN:
            inner = _needed(argument[3])
        elif what is _parser.BRANCH:
            each = [_needed(branch) for branch in argument[1]]
            inner = tuple(text for texts in each for text in texts) if all(each) else ()
        best = max(best, (run,) if run else (), inner, key=_sureness)
        run = ""
    return best


def _sureness(texts: tuple[str, ...]) -> int:
    return min(map(len, texts), default=0)
