"""Opening hours, entry points and routing profiles over HTTP: shown; the file changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.api import bodies as b
from router.api.problems import ApiError
from router.api.table import Call, Handler, Reply, Route, roles
from router.api.views import View
from router.config.forms import DAYS
from router.core.policy import EntryPoint, Hours, Policy, Profile
from router.errors import NotFound


class SpanView(View, kw_only=True):
    """Open from a time to a time of the local day."""

    days: list[str] = []
    """``mon`` to ``sun``; of a holiday left out."""
    start: str
    """``08:00``"""
    end: str


class HolidayView(View):
    """A date that differs from its weekday."""

    date: str
    open: list[SpanView] = []
    """Left out: closed."""
    name: str = ""


class HoursView(View, kw_only=True):
    """Opening hours, and where the file defines them."""

    id: str
    place: str = ""
    """file:line"""
    zone: str
    open: list[SpanView] = []
    holidays: list[HolidayView] = []


class HoursList(View):
    """All opening hours."""

    hours: list[HoursView]


class EntryPointView(View, kw_only=True):
    """A number, mailbox, site or account of ours, and where the file defines it."""

    id: str
    place: str = ""
    channel: str
    queue: str
    address: str = ""
    attributes: dict[str, Any] = {}
    requirements: dict[str, int] = {}
    brand: str = ""
    language: str = ""
    greeting: str = ""
    music: str = ""
    texts: dict[str, str] = {}


class EntryPointList(View):
    """All entry points."""

    entry_points: list[EntryPointView]


class ServedView(View):
    """A queue in a routing profile."""

    queue: str
    rank: int
    delay_us: int = 0


class ProfileView(View):
    """A routing profile, and where the file defines it."""

    id: str
    place: str = ""
    queues: list[ServedView] = []


class ProfileList(View):
    """All routing profiles."""

    profiles: list[ProfileView]


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _hours(hours: Hours, place: str) -> HoursView:
    return HoursView(
        id=hours.id,
        place=place,
        zone=hours.zone,
        open=[
            SpanView(
                days=[DAYS[day] for day in span.days],
                start=_time(span.start_minute),
                end=_time(span.end_minute),
            )
            for span in hours.spans
        ],
        holidays=[
            HolidayView(
                date=holiday.date,
                open=[SpanView(start=_time(start), end=_time(end)) for start, end in holiday.spans],
                name=holiday.name,
            )
            for holiday in hours.holidays
        ],
    )


def _entry_point(point: EntryPoint, place: str) -> EntryPointView:
    return EntryPointView(
        id=point.id,
        place=place,
        channel=point.channel,
        queue=point.queue,
        address=point.address,
        attributes=point.attributes,
        requirements=dict(point.requirements),
        brand=point.brand,
        language=point.language,
        greeting=point.greeting,
        music=point.music,
        texts=point.texts,
    )


def _profile(profile: Profile, place: str) -> ProfileView:
    served = [
        ServedView(queue=one.queue, rank=one.rank, delay_us=one.delay_us) for one in profile.queues
    ]
    return ProfileView(id=profile.id, place=place, queues=served)


def place_of(call: Call, kind: str, id_: str) -> str:
    """file:line of what the file defines; empty for what it defines no more."""
    found: str | None = call.api.context.config.place(kind, call.tenant.name, id_)
    return found or ""


def file_owned(kind: str, id_: str, place: str) -> ApiError:
    """What whoever would change it is told."""
    there = f"change it at {place}" if place else "which has it no more"
    return ApiError(409, "file_owned", f"{kind} {id_!r} belongs to the file: {there}", place=place)


async def list_hours(call: Call) -> Reply:
    """All opening hours."""
    shown = [_hours(one, place_of(call, "hours", id_)) for id_, one in _of(call).hours.items()]
    return Reply(200, HoursList(hours=shown))


async def list_entry_points(call: Call) -> Reply:
    """All entry points."""
    points = _of(call).entry_points
    shown = [_entry_point(one, place_of(call, "entry_point", id_)) for id_, one in points.items()]
    return Reply(200, EntryPointList(entry_points=shown))


async def list_profiles(call: Call) -> Reply:
    """All routing profiles."""
    profiles = _of(call).profiles
    shown = [_profile(one, place_of(call, "profile", id_)) for id_, one in profiles.items()]
    return Reply(200, ProfileList(profiles=shown))


def _of(call: Call) -> Policy:
    return call.tenant.policy


def _put(kind: str, section: str) -> Handler:
    async def put(call: Call) -> Reply:
        """They belong to the file: says where."""
        known: Mapping[str, object] = getattr(_of(call), section)
        if call.id not in known:
            raise NotFound(kind.replace("_", " "), call.id)
        raise file_owned(kind.replace("_", " "), call.id, place_of(call, kind, call.id))

    return put


LEADS = roles("admin supervisor")
OWNED = "They belong to the configuration file: answers 409 with file:line."

ROUTES: tuple[Route, ...] = (
    Route("listHours", "GET", "/v1/hours", list_hours, LEADS, {200: HoursList},
          "All opening hours with their zone, holidays and the place that defines them."),
    Route("putHours", "PUT", "/v1/hours/{id}", _put("hours", "hours"), roles("admin"), {},
          OWNED, body=b.EmptyBody, errors=(404, 409)),
    Route("listEntryPoints", "GET", "/v1/entry-points", list_entry_points, LEADS,
          {200: EntryPointList}, "All entry points with the place that defines them."),
    Route("putEntryPoint", "PUT", "/v1/entry-points/{id}", _put("entry_point", "entry_points"),
          roles("admin"), {}, OWNED, body=b.EmptyBody, errors=(404, 409)),
    Route("listProfiles", "GET", "/v1/profiles", list_profiles, LEADS, {200: ProfileList},
          "All routing profiles with the place that defines them."),
    Route("putProfile", "PUT", "/v1/profiles/{id}", _put("profile", "profiles"), roles("admin"),
          {}, OWNED, body=b.EmptyBody, errors=(404, 409)),
)  # fmt: skip
