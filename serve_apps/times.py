"""Times as requests name them: epoch milliseconds (integer or fraction) or RFC 3339."""

from datetime import UTC, datetime, timedelta

from fleetpulse.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def epoch_ms(field: str, time: float | str) -> int:
    """Epoch milliseconds; raises InputError naming `field`."""
    return round(time) if not isinstance(time, str) else round(_of_text(field, time) / 1000)


def epoch_us(field: str, text: str) -> int:
    """Epoch microseconds of a query parameter; raises InputError naming `field`."""
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        return _of_text(field, text)


def rfc3339(time_us: int) -> str:
    """Text for an answer."""
    at = _EPOCH + time_us * _MICROSECOND
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _of_text(field: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(field, "is neither epoch milliseconds nor RFC 3339") from error
    if at.tzinfo is None:
        raise InputError(field, "must name its offset from UTC, such as Z")
    return (at - _EPOCH) // _MICROSECOND
