"""Pure. When a schedule is due: a cron line and a time zone in, times and words out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from mooring.core.errors import UsageError

SHOWN = 3
"""How many of the next times are told."""
_REMEDY = "five fields: minute, hour, day of the month, month, day of the week (30 3 * * 1)"
_FIELDS = {
    "minute": "a minute from 0 to 59",
    "hour": "an hour from 0 to 23",
    "day-of-month": "a day from 1 to 31 that the month has, or L for its last",
    "month": "a month from 1 to 12, or JAN to DEC",
    "day-of-week": "a day of the week from 0 to 7 (0 and 7 are Sunday), or SUN to SAT",
}


class Timetable:
    """The times at which a cron line is due. Raises ``UsageError`` for one that says none.

    Where clocks change it does as Debian's cron: a time that is left out comes with the next that
    there is, and one that comes twice counts once.
    """

    def __init__(self, cron: str, zone: str) -> None:
        self._cron = cron
        attempted = f"reading the schedule {cron!r}"
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            remedy = "name one as Europe/Berlin, or UTC"
            raise UsageError(attempted, f"there is no time zone {zone!r}", remedy) from None
        fields = len(cron.split())
        if fields != 5:
            why = f"it has {fields} field{'' if fields == 1 else 's'}"
            raise UsageError(attempted, why, f"a schedule has {_REMEDY}")
        try:
            self.words = CronSim(cron, datetime.fromtimestamp(0, self._zone)).explain()
        except CronSimError as error:
            name = str(error).removeprefix("Bad ")
            why = f"the {name} is not understood"
            if name == "day-of-month" and _is_read(cron):
                why = "it is never due: no month of these has such a day"
            raise UsageError(attempted, why, f"expected {_FIELDS.get(name, _REMEDY)}") from None

    def _after(self, now: float) -> Iterator[datetime]:
        return iter(CronSim(self._cron, datetime.fromtimestamp(now, self._zone)))

    def after(self, now: float) -> float:
        """When it is due next, in seconds since the epoch. Raises ``UsageError`` for never."""
        due = next(self._after(now), None)
        if due is None:
            attempted = f"reading the schedule {self._cron!r}"
            raise UsageError(attempted, "it is never due within 50 years", _REMEDY)
        return due.timestamp()

    def next(self, now: float) -> list[float]:
        """The times that come next."""
        return [due.timestamp() for due in islice(self._after(now), SHOWN)]


def _is_read(cron: str) -> bool:
    """Whether a line is understood when any month may have its days."""
    fields = cron.split()
    try:
        CronSim(" ".join((*fields[:3], "*", fields[4])), datetime.fromtimestamp(0, UTC))
    except CronSimError:
        return False
    return True
