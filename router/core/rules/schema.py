"""The names an expression may use: fields of the context, and named conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from router.core.rules.checked import Named
from router.core.rules.place import Span
from router.core.rules.types import Field, Record, Type, record_of


class Schema:
    """What expressions see.

    `fields` are the attributes of the context that is given to evaluate: INT as int, DOUBLE as
    float, TIMESTAMP and DURATION as µs, lists as list or tuple, maps as dict, a Record as an object
    with its fields as attributes, None for an optional field that is unknown.
    """

    def __init__(self, fields: Mapping[str, Type | Field]) -> None:
        self.root: Record = record_of("context", fields)
        self.conditions: dict[str, Named] = {}
        self.hidden: dict[str, str] = {}
        """Names that cannot be read here, each with the reason."""

    def hiding(self, name: str, reason: str) -> Schema:
        """A schema in which a field, and conditions that read it, cannot be read."""
        other = Schema(self.root.fields)
        other.conditions = self.conditions
        other.hidden = {**self.hidden, name: reason}
        return other

    def with_condition(self, name: str, condition: Named) -> Schema:
        """A schema in which `name` stands for this condition. Raises ValueError if it is taken."""
        if name in self.root.fields or name in self.conditions:
            raise ValueError(f"the name {name!r} is taken")
        wider = Schema(self.root.fields)
        wider.hidden = self.hidden
        wider.conditions = {**self.conditions, name: condition}
        return wider

    def condition(self, name: str, span: Span) -> Named | None:
        """The named condition where it is used."""
        found = self.conditions.get(name)
        return replace(found, span=span) if found else None

    def names(self) -> list[str]:
        """All names at the top, for suggestions."""
        return [*self.root.fields, *self.conditions]
