"""What was learned of reaching a customer, over HTTP: ranked windows, evidence, a week each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from router.api.routes.customers import AGENTS, READERS, the_customer
from router.api.table import TEXT, Call, Param, Reply, Route, query, query_int
from router.api.views import View
from router.core.customer_model import Customer
from router.errors import Invalid
from router.preference.windows import confidence

if TYPE_CHECKING:
    from router.preference.windows import Window
    from router.runtime.preferences import Outlook, Preferences

MOST_MOMENT = 1 << 53
MOST_AHEAD_US = 31 * 86_400_000_000
DAY_US = 86_400_000_000
WEEK = 168


class WindowView(View, kw_only=True):
    """One hour on one address, and what is thought of it."""

    channel: str
    address: str
    """As far as it may be shown: its last two characters."""
    weekday: int
    """0 = Monday ... 6, in the customer's own time."""
    hour: int
    start_us: int
    end_us: int
    probability: float
    low: float
    high: float
    """The interval in which the true one lies with 80 %."""
    attempts: int
    successes: int
    """Counted at `level`, as the text has it."""
    expected: float
    """Successes that customers like this one would have had."""
    level: str
    """Where was counted: exact, near, endpoint, channel, customer; segment = too little to tell."""
    last_success_at_us: int
    """0 = none is remembered."""
    prior_share: float
    """1 = all from other customers, 0 = all from this one."""
    text: str


class ChannelView(View, kw_only=True):
    """A week on the channel's best address."""

    channel: str
    address: str
    attempts: int
    successes: int
    cells: list[list[float | None]]
    """Seven days from Monday on, of 24 hours; null = not permitted in the coming week."""


class BlockedView(View, kw_only=True):
    """An address that must not be contacted now."""

    channel: str
    address: str
    reason: str
    text: str
    next_at_us: int
    """0 = not by waiting."""


class PreferenceView(View, kw_only=True):
    """Everything learned of one customer."""

    customer: str
    purpose: str
    zone: str
    """Empty = not known; the workspace's is taken."""
    confidence: str
    """low, medium, high: by the number of attempts, of which older ones count less."""
    best: WindowView | None
    windows: list[WindowView]
    channels: list[ChannelView]
    blocked: list[BlockedView]
    next_allowed_at_us: int
    """The next moment at which any address may be contacted; 0 = none."""
    inbound: int
    """Contacts remembered that the customer began."""
    computed_us: int
    """How long this took."""


async def preference(call: Call) -> Reply:
    """When and how is the customer reached best?"""
    row = await the_customer(call)
    began = time.perf_counter_ns()
    asked = call.tenant.workspace.customers.preferences
    assert asked is not None, "a host has its preferences"
    state = call.tenant.state
    now_us = call.tenant.workspace.now_us() + state.totals.clock_offset_us
    purpose = query(call, "purpose", 64) or "service"
    from_us = query_int(call, "from_us", now_us, 0, MOST_MOMENT)
    until_us = query_int(call, "until_us", from_us + 7 * DAY_US, 0, MOST_MOMENT)
    if not 0 < until_us - from_us <= MOST_AHEAD_US:
        raise Invalid("span", "expected at most 31 days, not empty - at `?until_us`")
    channels = [name for name in query(call, "channels").split(",") if name]
    for name in channels:
        if name not in call.tenant.policy.channels:
            raise Invalid("channel", f"no channel {name!r} - at `?channels`")
    limit = query_int(call, "limit", 8, 1, 50)
    outlook = asked.outlook(row, purpose, from_us, until_us, channels)
    windows = [_window(asked, row, outlook, found) for found in outlook.ranking.best(limit)]
    blocked = _blocked(asked, row, outlook, purpose, now_us)
    view = PreferenceView(
        customer=row.id,
        purpose=purpose,
        zone=next(iter(call.tenant.workspace.customers.zones(row)), ""),
        confidence=confidence(outlook.ranking.effective),
        best=windows[0] if windows else None,
        windows=windows,
        channels=_channels(asked, row, outlook),
        blocked=blocked,
        next_allowed_at_us=_next_allowed(outlook, blocked, now_us),
        inbound=len(outlook.profile.inbound),
        computed_us=(time.perf_counter_ns() - began) // 1000,
    )
    return Reply(200, view)


def _window(asked: Preferences, row: Customer, outlook: Outlook, window: Window) -> WindowView:
    number = asked.place_of(outlook, window)
    place = outlook.places[number]
    span = outlook.spans[number][window.hour - outlook.now_hour]
    assert span is not None, "only permitted windows are ranked"
    found = asked.evidence(row, outlook, window)
    level = found.level()
    counted = getattr(found, "customer" if level == "segment" else level)
    slot = window.hour % WEEK
    return WindowView(
        channel=place.channel,
        address=place.label,
        weekday=slot // 24,
        hour=slot % 24,
        start_us=span[0],
        end_us=span[1],
        probability=round(window.p, 4),
        low=round(window.low, 4),
        high=round(window.high, 4),
        attempts=counted.attempts,
        successes=counted.successes,
        expected=round(counted.expected, 2),
        level=level,
        last_success_at_us=asked.success_us(outlook, found),
        prior_share=round(window.prior_share, 3),
        text=asked.text(row, outlook, window),
    )


def _channels(asked: Preferences, row: Customer, outlook: Outlook) -> list[ChannelView]:
    """A week of the likeliest address of each channel."""
    if not outlook.places:
        return []
    first = outlook.now_hour - outlook.now_hour % WEEK
    week = asked.everywhere(row, outlook, range(first, first + WEEK))
    found: dict[str, tuple[float, ChannelView]] = {}
    for number, place in enumerate(outlook.places):
        ps = [week.window(number, hour).p for hour in range(WEEK)]
        mean = float(np.mean(ps))
        if place.channel in found and found[place.channel][0] >= mean:
            continue
        permitted = [False] * WEEK
        for column, span in enumerate(outlook.spans[number]):
            if span is not None:
                permitted[(outlook.now_hour + column) % WEEK] = True
        cells = [round(p, 4) if open_ else None for p, open_ in zip(ps, permitted, strict=True)]
        tried = [
            event
            for event in outlook.profile.events()
            if event.endpoint[:2] == place.endpoint[:2] and event.outcome
        ]
        view = ChannelView(
            channel=place.channel,
            address=place.label,
            attempts=len(tried),
            successes=sum(event.outcome.success for event in tried),
            cells=[cells[day * 24 : day * 24 + 24] for day in range(7)],
        )
        found[place.channel] = (mean, view)
    return [view for _, view in found.values()]


def _blocked(
    asked: Preferences, row: Customer, outlook: Outlook, purpose: str, now_us: int
) -> list[BlockedView]:
    found = []
    for place in outlook.places:
        denied = asked.denied(row, place, purpose, now_us)
        if denied is not None:
            found.append(
                BlockedView(
                    channel=place.channel,
                    address=place.label,
                    reason=denied.reason.value,
                    text=denied.words,
                    next_at_us=denied.next_allowed_us or 0,
                )
            )
    return found


def _next_allowed(outlook: Outlook, blocked: list[BlockedView], now_us: int) -> int:
    if len(blocked) < len(outlook.places):
        return now_us
    return min((view.next_at_us for view in blocked if view.next_at_us), default=0)


ROUTES = (
    Route("getPreference", "GET", "/v1/customers/{id}/preference", preference, READERS,
          {200: PreferenceView},
          f"When and how the customer is reached best, and why. {AGENTS}",
          params=(Param("purpose", TEXT, "Default: service."),
                  Param("from_us", {"type": "integer", "minimum": 0, "maximum": MOST_MOMENT},
                        "Calendar moment; default: now."),
                  Param("until_us", {"type": "integer", "minimum": 0, "maximum": MOST_MOMENT},
                        "At most 31 days later; default: seven days later."),
                  Param("channels", TEXT, "Only these, with commas between."),
                  Param("limit", {"type": "integer", "minimum": 1, "maximum": 50, "default": 8},
                        "Most windows.")),
          errors=(404,), tag="customers"),
)  # fmt: skip
