"""Interval reports over HTTP, as JSON or CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from router.api.audit import audit_row
from router.api.table import Call, Param, Reply, Route, query, query_int, roles
from router.api.views import View
from router.core.commands import RecordAudit
from router.core.model import DAY_US
from router.core.recount import DIMENSIONS, Row, checked_dimensions, quarters, total
from router.core.rules.moments import zone_named
from router.core.statistics import FORMULAS
from router.errors import Invalid
from router.runtime.reports import make_report


class ReportView(View):
    """A report: each line is an interval of one queue, channel, segment or agent."""

    from_us: int
    to_us: int
    interval_s: int
    by: tuple[str, ...]
    formulas: dict[str, str]
    """Of each column, what it means."""
    rows: list[dict[str, Any]]
    """``start_us``, the names asked for, counts, lengths in µs, rates (null: of nothing)."""
    total: dict[str, Any] = {}
    """All rows as one: sums, and rates made of the sums. Empty: there are no rows."""


async def report(call: Call) -> Reply:
    """The measures of a span, interval by interval."""
    asked, rows = await _made(call)
    names = dict.fromkeys(name for row in rows[:1] for name in row)
    formulas = {name: FORMULAS[name] for name in names if name in FORMULAS}
    return Reply(200, ReportView(*asked, formulas, rows, total(rows)))


async def report_csv(call: Call) -> web.StreamResponse:
    """The same for spreadsheets."""
    (from_us, to_us, _, by), rows = await _made(call)
    subject = f"{','.join(by)} {_cell('start_us', from_us)}/{_cell('start_us', to_us)}"
    told = RecordAudit(action="report.export", subject=subject, by=call.who.by)
    await call.tenant.workspace.ask(told, (audit_row(call, "report.export", subject),))
    return web.Response(
        text=as_csv(rows, by),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": 'attachment; filename="report.csv"'},
    )


async def _made(call: Call) -> tuple[tuple[int, int, int, tuple[str, ...]], list[Row]]:
    """What was asked for (from, to, interval, by), and the lines. Raises Invalid."""
    now_us = call.tenant.workspace.now_us()
    to_us = query_int(call, "to_us", now_us, 0, 1 << 52)
    from_us = query_int(call, "from_us", to_us - DAY_US, 0, 1 << 52)
    interval_s = query_int(call, "interval_s", 900, 1, 86_400)
    try:
        by = checked_dimensions((query(call, "by", 100) or "queue,channel").split(","))
        every = quarters(interval_s)
    except ValueError as error:
        raise Invalid("invalid", str(error)) from None
    zone = query(call, "zone", 64)
    if zone and zone_named(zone) is None:
        raise Invalid("invalid", f"zone: expected a name such as Europe/Berlin, got {zone!r}")
    rows = await make_report(call.tenant.workspace, by, from_us, to_us, every, zone)
    return (from_us, to_us, interval_s, by), rows


def as_csv(rows: list[Row], by: tuple[str, ...]) -> str:
    """For spreadsheets: moments in UTC (RFC 3339), lengths in seconds, nothing for nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180 section 2
    columns = list(rows[0]) if rows else ["start_us", *by]
    writer.writerow(name.removesuffix("_us") + "_s" * name.endswith("_us") for name in columns)
    for row in rows:
        writer.writerow(_cell(name, row[name]) for name in columns)
    text = out.getvalue()
    return text.replace("start_s", "start", 1)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "start_us":
        return datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name.endswith("_us"):
        return f"{value / 1e6:.3f}"
    if isinstance(value, float):
        return f"{value:.4f}"
    # A name that begins like a formula would be one in a spreadsheet.
    return f"'{value}" if str(value).startswith(tuple("=+-@\t\r")) else str(value)


_SPAN = (
    Param("by", {"type": "string", "maxLength": 100},
          f"Of {', '.join(DIMENSIONS)}, by comma; agent alone. Default: queue,channel."),
    Param("from_us", {"type": "integer"}, "Default: a day before `to_us`."),
    Param("to_us", {"type": "integer"}, "Default: now."),
    Param("interval_s", {"type": "integer", "enum": [900, 1800, 3600, 86400]}, "Default: 900."),
    Param("zone", {"type": "string", "maxLength": 64},
          "IANA name: days begin at its midnight. Default: each has 24 h, from `from_us` on."),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    Route("getReport", "GET", "/v1/reports", report, roles("admin supervisor"),
          {200: ReportView},
          "The measures of a span, interval by interval, worked out anew from the log.",
          params=_SPAN),
    Route("getReportCsv", "GET", "/v1/reports.csv", report_csv, roles("admin supervisor"),
          {200: "text/csv"},
          "The same for spreadsheets: moments in UTC, lengths in seconds, nothing for nothing.",
          params=_SPAN, audited="report.export", errors=(507,)),
)  # fmt: skip
