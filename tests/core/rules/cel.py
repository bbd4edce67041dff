"""The same expressions and contexts in Google's own CEL (cel-expr-python, C++ underneath)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel

from router.core.rules.types import Record, Type
from tests.core.rules.world import SCHEMA, Context

ERROR = "error"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SIMPLE = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "dyn": cel.Type.DYN,
}


def type_of(type_: Type) -> Any:
    """The type in CEL."""
    if type_.name == "list":
        return cel.Type.List(type_of(type_.items[0]))
    if type_.name == "map":
        return cel.Type.Map(type_of(type_.items[0]), type_of(type_.items[1]))
    return _SIMPLE[type_.name]


def _variables() -> dict[str, Any]:
    """Records become qualified names, and the record with optional fields a map."""
    found = {}
    for name, field in SCHEMA.root.fields.items():
        if not isinstance(field.type, Record):
            found[name] = type_of(field.type)
        elif any(inner.optional for inner in field.type.fields.values()):
            found[name] = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        else:
            for inner_name, inner in field.type.fields.items():
                found[f"{name}.{inner_name}"] = type_of(inner.type)
    return found


ENVIRONMENT = cel.NewEnv(variables=_variables())


def compiled(text: str) -> Any | None:
    """The expression; None where CEL refuses it."""
    try:
        return ENVIRONMENT.compile(text)
    except Exception:  # it raises whatever the binding makes of a C++ status
        return None


def value_of(expression: Any, context: Context) -> Any:
    """The value as our language has it; ERROR if there is none."""
    contact = context.contact
    data = {
        "segment": context.segment,
        "now": _moment(context.now),
        "zone": context.zone,
        "open": context.open,
        "contact.direction": contact.direction,
        "contact.position": contact.position,
        "contact.waited": timedelta(microseconds=contact.waited),
        "contact.received": _moment(contact.received),
        "contact.attributes": contact.attributes,
        "contact.skills": contact.skills,
        "contact.tags": contact.tags,
        "contact.levels": contact.levels,
        "preference": {k: v for k, v in vars(context.preference).items() if v is not None},
    }
    try:
        value = expression.eval(data=data)
    except Exception:  # as above
        return ERROR
    return ERROR if value.type() == cel.Type.ERROR else _plain(value.plain_value())


def _moment(value_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=value_us)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
