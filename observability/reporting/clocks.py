"""The time, with its zone, in UTC and where people of North America are."""

from datetime import UTC, datetime


def now_utc() -> datetime:
    """Return the time, with its zone: UTC."""
    return datetime.now(UTC)


def _now_in(zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(zone))


def now_eastern() -> datetime:
    """Return the time in New York, with its zone."""
    return _now_in("America/New_York")


def now_central() -> datetime:
    """Return the time in Chicago, with its zone."""
    return _now_in("America/Chicago")


def now_mountain() -> datetime:
    """Return the time in Denver, with its zone."""
    return _now_in("America/Denver")


def now_pacific() -> datetime:
    """Return the time in Los Angeles, with its zone."""
    return _now_in("America/Los_Angeles")
