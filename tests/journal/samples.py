"""One sample of every record type, made from its annotations: all fields set, none by default."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from msgspec import inspect

from router.core.customer_model import Customer
from router.core.effects import Effect
from router.core.events import Event
from router.core.record import Row
from router.core.state import ROWS as ROWS_BY_KIND

EVENTS: tuple[type[msgspec.Struct], ...] = get_args(Event)
EFFECTS: tuple[type[msgspec.Struct], ...] = get_args(Effect)
ROWS: tuple[type[Row], ...] = (*ROWS_BY_KIND.values(), Customer)


def sample(type_: type[Any]) -> Any:
    return _value(inspect.type_info(type_), type_.__name__)


def _value(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.StructType():
            fields = {f.name: _value(f.type, f.name) for f in info.fields}
            return info.cls(**fields)
        case inspect.EnumType():
            return list(info.cls)[-1]
        case inspect.UnionType():
            kinds = [t for t in info.types if not isinstance(t, inspect.NoneType)]
            return _value(kinds[0], name)
        case inspect.StrType():
            return f"{name} ü☎"
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 1_700_000_000_000_000 if name.endswith("_us") else 7
        case inspect.FloatType():
            return 0.25
        case inspect.BytesType():
            return b"\x00\xff" + name.encode()
        case inspect.DictType():
            return {_value(info.key_type, name): _value(info.value_type, name)}
        case inspect.VarTupleType():
            return (_value(info.item_type, name),)
        case inspect.TupleType():
            return tuple(_value(item, name) for item in info.item_types)
        case inspect.ListType():
            return [_value(info.item_type, name)]
        case inspect.AnyType():
            return {"text": "ü", "number": 3, "list": [1, 2.5, None, True]}
        case inspect.LiteralType():
            return info.values[0]
    raise AssertionError(f"{name}: no sample for {info}")
