"""docs/desk-protocol.md and docs/api.md say what the code serves."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from router.api import board, views
from router.api.routes import rules
from router.api.views import View

DOCS = Path(__file__).parents[2] / "docs"
OBJECTS = {
    "Agent": views.AgentView,
    "Reservation": views.ReservationView,
    "Contact": views.ContactView,
    "Outbound": views.OutboundView,
    "Message": views.MessageView,
    "BoardAgent": board.BoardAgent,
    "BoardContact": board.BoardContact,
    "BoardTotals": board.BoardTotals,
}


def told(name: str) -> set[str]:
    """The words of an object's braces on the page, those of inner objects as well."""
    text = (DOCS / "desk-protocol.md").read_text(encoding="utf-8")
    found = re.search(rf"\*\*{name}\*\* `\{{(.*?)\}}`", text, re.DOTALL)
    assert found is not None, f"{name} is not described"
    return set(re.findall(r"[a-z_]+", found[1]))


@pytest.mark.parametrize("name", OBJECTS)
def test_every_field_of_an_object_is_named(name: str) -> None:
    view: type[View] = OBJECTS[name]
    served = {field.encode_name for field in msgspec.structs.fields(view)}
    missing = served - told(name)
    assert not missing, f"docs/desk-protocol.md, {name}: {sorted(missing)}"


def test_the_operations_about_rules_are_on_the_page() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for route in rules.ROUTES:
        if route.method != "PUT":
            assert f"{route.method} {route.path}" in page, route.path
