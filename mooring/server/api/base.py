"""What all shapes of the API share, and the bounds of what comes from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Asked(Shape):
    """What comes from outside: texts that every database can keep."""

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise ValueError("a text holds a NUL character")
        return value


def _utc(moment: datetime) -> datetime:
    """A time without a zone is UTC; one that no calendar of ours has is refused."""
    if not 1970 <= moment.year <= 2500:
        raise ValueError("expected a time from 1970 to 2500")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Whole = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
