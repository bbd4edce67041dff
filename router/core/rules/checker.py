"""Names and types: a syntax tree and a schema to a checked expression, or to all that is wrong.

What cannot be right has the type WRONG, which fits everywhere: each cause is reported once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from router.core.rules import language as l
from router.core.rules import moments
from router.core.rules.checked import (
    Apply,
    Conditional,
    Constant,
    Has,
    Key,
    Logic,
    Node,
    Not,
    Read,
    path_of,
    reads_of,
)
from router.core.rules.operations import Fault, truth
from router.core.rules.overloads import (
    FUNCTIONS,
    MACROS,
    METHODS,
    NEGATION,
    OPERATORS,
    UNKNOWN_HERE,
    Overload,
    resolve,
)
from router.core.rules.patterns import pattern
from router.core.rules.place import Span, closest
from router.core.rules.schema import Schema
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    KEYS,
    NULL,
    PATTERN,
    STRING,
    TIMESTAMP,
    WRONG,
    Field,
    Record,
    Type,
    list_of,
    map_of,
    meet,
)

Problems = list[tuple[Span, str]]


def check(tree: l.Node, schema: Schema, expects: Type | None) -> tuple[Node, Problems]:
    """The checked expression, and what is wrong with it; `expects` None takes any type."""
    checker = _Checker(schema)
    node = checker.node(tree)
    if expects is not None:
        node = checker.expected(node, expects)
    elif isinstance(node.type, Record):
        checker.report(node.span, f"expected a value, got {node.type}: name one of its fields")
    checker.problems.sort(key=lambda found: found[0])
    return node, checker.problems


class _Checker:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.problems: Problems = []

    def report(self, span: Span, message: str) -> None:
        """One thing that is wrong."""
        if (span, message) not in self.problems:
            self.problems.append((span, message))

    def _wrong(self, span: Span, message: str) -> Node:
        self.report(span, message)
        return Constant(span, WRONG, None)

    def expected(self, node: Node, expects: Type) -> Node:
        """The node, if it has this type or, being a JSON value, may have it."""
        if node.type in (expects, WRONG):
            return node
        if node.type == DYN and expects == BOOL:
            return Apply(node.span, BOOL, "", truth, (node,), is_static=False)
        hint = ""
        if node.type == DYN:
            convert = {INT: "int", DOUBLE: "double", TIMESTAMP: "timestamp", DURATION: "duration"}
            hint = f": write {convert[expects]}(...)" if expects in convert else ""
        elif expects == BOOL and isinstance(node.type, Record):
            hint = ": name one of its fields"
        elif expects == BOOL:
            hint = ": compare it with something"
        return self._wrong(node.span, f"expected {expects}, got {node.type}{hint}")

    def node(self, tree: l.Node) -> Node:
        """One node and all under it."""
        match tree:
            case l.Literal():
                return Constant(tree.span, tree.type, tree.value)
            case l.Name():
                return self._name(tree)
            case l.Member():
                return self._member(tree)
            case l.Index():
                return self._index(tree)
            case l.Call():
                return self._call(tree)
            case l.Unary():
                return self._unary(tree)
            case l.Binary():
                return self._binary(tree)
            case l.Chain():
                operands = [self.expected(self.node(o), BOOL) for o in tree.operands]
                return Logic(tree.span, tree.sign == "||", tuple(operands))
            case l.Choice():
                return self._choice(tree)
            case l.ListLiteral():
                return self._list(tree)
            case l.MapLiteral():
                return self._map(tree)

    # --- names --------------------------------------------------------------------------------

    def _name(self, tree: l.Name) -> Node:
        condition = self._schema.condition(tree.name, tree.span)
        if condition is not None:
            for read in reads_of(condition):
                reason = self._schema.hidden.get(read.partition(".")[0])
                if reason is not None:
                    message = f"{tree.name!r} reads {read!r}, which cannot be read here: {reason}"
                    return self._wrong(tree.span, message)
            return condition
        if tree.name in self._schema.hidden:
            reason = self._schema.hidden[tree.name]
            return self._wrong(tree.span, f"{tree.name!r} cannot be read here: {reason}")
        field = self._schema.root.fields.get(tree.name)
        if field is not None:
            return Read(tree.span, None, tree.name, field)
        hint = closest(tree.name, self._schema.names())
        if not hint and tree.name in (*FUNCTIONS, "has"):
            hint = f", a function: write {tree.name}(...)"
        return self._wrong(tree.span, f"unknown name {tree.name!r}{hint or self._known()}")

    def _known(self) -> str:
        return f": known are {listed(self._schema.names())}"

    def _member(self, tree: l.Member) -> Node:
        base = self.node(tree.operand)
        if isinstance(base.type, Record):
            field = self._field(base.type, tree)
            if field is None:
                return Constant(tree.span, WRONG, None)
            return Read(tree.span, base, tree.name, field)
        value = self._value_type(base, tree)
        if value is None:
            return Constant(tree.span, WRONG, None)
        self._known_key(base, tree.name, tree.name_span)
        return Key(tree.span, value, base, tree.name)

    def _known_key(self, base: Node, key: str, span: Span) -> None:
        known = base.field.values if isinstance(base, Read) else ()
        if known and key not in known:
            hint = closest(key, known) or f": it has {listed(known)}"
            self.report(span, f"{path_of(base)} has no {key!r}{hint}")

    def _field(self, record: Record, tree: l.Member) -> Field | None:
        field = record.fields.get(tree.name)
        if field is None:
            hint = closest(tree.name, record.fields) or f": it has {listed(record.fields)}"
            self.report(tree.name_span, f"{record} has no field {tree.name!r}{hint}")
        return field

    def _value_type(self, base: Node, tree: l.Member) -> Type | None:
        """The type of a map's value under a name; None (and reported) if it is no map."""
        if base.type in (DYN, WRONG):
            return base.type
        if base.type.name == "map" and base.type.items[0] == STRING:
            return base.type.items[1]
        what = "is no map with texts as keys" if base.type.name == "map" else "has no fields"
        hint = f", {tree.name}() is a function" if tree.name in METHODS else ""
        self.report(
            tree.name_span, f"expected a map or a record, got {base.type}, which {what}{hint}"
        )
        return None

    def _has(self, tree: l.Call) -> Node:
        if tree.target is not None or len(tree.arguments) != 1:
            return self._wrong(tree.span, "has() is written has(record.field)")
        argument = tree.arguments[0]
        if not isinstance(argument, l.Member):
            hint = ': write "key" in map' if isinstance(argument, l.Index) else ""
            message = f"has() expected a field like customer.name, got something else{hint}"
            return self._wrong(argument.span, message)
        base = self.node(argument.operand)
        if isinstance(base.type, Record):
            field = self._field(base.type, argument)
            if field is None:
                return Constant(tree.span, WRONG, None)
            return Has(tree.span, base, argument.name, field)
        if self._value_type(base, argument) in (None, WRONG):
            return Constant(tree.span, WRONG, None)
        return Has(tree.span, base, argument.name, None)

    # --- operators ----------------------------------------------------------------------------

    def _index(self, tree: l.Index) -> Node:
        base, index = self.node(tree.operand), self.node(tree.index)
        if isinstance(base.type, Record):
            message = f"expected a list or a map, got {base.type}: its fields are read with a dot"
            return self._wrong(tree.span, message)
        found = resolve(OPERATORS["[]"], (base.type, index.type))
        if found is None:
            if base.type.name == "map":
                message = f"expected a key of type {base.type.items[0]}, got {index.type}"
                return self._wrong(index.span, message)
            if base.type.name == "list":
                message = f"expected an item's number (int), got {index.type}"
                return self._wrong(index.span, message)
            message = f"expected a list or a map before '[', got {base.type}"
            return self._wrong(tree.operand.span, message)
        if (
            isinstance(index, Constant)
            and isinstance(index.value, str)
            and not isinstance(base, Constant)
        ):
            self._known_key(base, index.value, index.span)
            return Key(tree.span, found.result, base, index.value)
        return self._applied(
            Apply(tree.span, found.result, "[]", found.function, (base, index), found.is_static)
        )

    def _unary(self, tree: l.Unary) -> Node:
        operand = self.node(tree.operand)
        if tree.sign == "!":
            return Not(tree.span, self.expected(operand, BOOL))
        found = resolve(NEGATION, (operand.type,))
        if found is None:
            message = f"'-' expected int or double, got {operand.type}"
            return self._wrong(operand.span, message)
        arguments = (operand,)
        return self._applied(
            Apply(tree.span, found.result, "-", found.function, arguments, found.is_static)
        )

    def _binary(self, tree: l.Binary) -> Node:
        left, right = self.node(tree.left), self.node(tree.right)
        overloads = OPERATORS[tree.sign]
        found = resolve(overloads, (left.type, right.type))
        if found is None:
            return self._wrong(tree.span, _mismatch(tree.sign, left, right, overloads))
        self._compared(tree.sign, left, right)
        return self._applied(
            Apply(
                tree.span,
                found.result,
                tree.sign,
                found.function,
                (left, right),
                found.is_static,
            )
        )

    def _compared(self, sign: str, left: Node, right: Node) -> None:
        """Texts that a field never has are misspelled."""
        for field, other in ((left, right), (right, left)):
            values = field.field.values if isinstance(field, Read) else ()
            if not values or sign not in ("==", "!=", "in") or not isinstance(other, Constant):
                continue
            texts = other.value if isinstance(other.value, tuple | dict) else (other.value,)
            for text in texts:
                if isinstance(text, str) and text not in values:
                    hint = closest(text, values) or f": it is one of {listed(values, quoted=True)}"
                    what = "has no" if field.type.name == "map" else "is never"
                    self.report(other.span, f"{path_of(field)} {what} {text!r}{hint}")

    def _choice(self, tree: l.Choice) -> Node:
        test = self.expected(self.node(tree.test), BOOL)
        then, otherwise = self.node(tree.then), self.node(tree.otherwise)
        both = meet(then.type, otherwise.type)
        if both is None:
            message = f"'?:' expected both values of one type, got {then.type} and {otherwise.type}"
            return self._wrong(tree.span, message)
        return Conditional(tree.span, both, test, then, otherwise)

    # --- functions ----------------------------------------------------------------------------

    def _call(self, tree: l.Call) -> Node:
        if tree.function == "has":
            return self._has(tree)
        table = FUNCTIONS if tree.target is None else METHODS
        overloads = table.get(tree.function)
        if overloads is None:
            return self._unknown_function(tree)
        written = tree.arguments if tree.target is None else (tree.target, *tree.arguments)
        arguments = [self.node(argument) for argument in written]
        found = resolve(overloads, [argument.type for argument in arguments])
        if found is None:
            return self._wrong(tree.span, _no_overload(tree, arguments, overloads))
        if tree.function == "matches":
            arguments[1] = self._pattern(arguments[1])
        for argument in arguments[1:]:
            if tree.function in moments.MOMENT_PARTS and isinstance(argument, Constant):
                self._zone(argument)
        return self._applied(
            Apply(
                tree.span,
                found.result,
                tree.function,
                found.function,
                tuple(arguments),
                found.is_static,
            )
        )

    def _unknown_function(self, tree: l.Call) -> Node:
        name = tree.function
        if name in MACROS:
            message = f"{name}() is a loop, and conditions have none (their cost has a bound)"
            return self._wrong(tree.name_span, f"{message}: use 'in'")
        if name in UNKNOWN_HERE:
            return self._wrong(tree.name_span, f"{name}() is not known: {UNKNOWN_HERE[name]}")
        if tree.target is None and name in METHODS:
            message = f"{name}() is called on a value: write x.{name}(...)"
            return self._wrong(tree.name_span, message)
        if tree.target is not None and name in FUNCTIONS:
            return self._wrong(tree.name_span, f"{name}() is no method: write {name}(x)")
        known = [*METHODS] if tree.target is not None else [*FUNCTIONS, "has"]
        hint = closest(name, known) or f": known are {listed(known)}"
        return self._wrong(tree.name_span, f"unknown function {name!r}{hint}")

    def _pattern(self, node: Node) -> Node:
        if node.type == WRONG:
            return node
        if not isinstance(node, Constant) or not isinstance(node.value, str):
            message = "matches() expected a pattern written out as a text, got an expression"
            return self._wrong(node.span, message)
        try:
            return Constant(node.span, PATTERN, pattern(node.value))
        except ValueError as error:
            return self._wrong(node.span, str(error))

    def _zone(self, node: Constant) -> None:
        try:
            moments.zone_of(node.value)
        except Fault as fault:
            self.report(node.span, f"{fault.reason}: {str(node.value)[:60]!r}")

    def _applied(self, node: Apply) -> Node:
        """The node, or its value if that is known already."""
        values: list[object] = []
        for argument in node.arguments:
            if not isinstance(argument, Constant) or argument.type == WRONG:
                return node
            values.append(argument.value)
        try:
            value = node.function(*values)
        except Fault as fault:
            return self._wrong(node.span, f"this never has a value: {fault.reason}")
        return Constant(node.span, node.type, tuple(value) if isinstance(value, list) else value)

    # --- lists and maps -----------------------------------------------------------------------

    def _constants(self, items: Iterable[l.Node], what: str) -> list[Constant]:
        found = []
        for item in items:
            node = self.node(item)
            if isinstance(node, Constant):
                found.append(node)
            else:
                self.report(node.span, f"expected a constant as {what}, got an expression")
                found.append(Constant(node.span, WRONG, None))
        return found

    def _one_type(self, items: Sequence[Constant], what: str) -> Type:
        """The type of all of them; reports the first that has another."""
        types = [item.type for item in items if item.type != WRONG]
        if not types:
            return WRONG if items else DYN
        first = types[0]
        for item in items:
            if meet(first, item.type) is None:
                self.report(item.span, f"expected {what} of one type, {first}, got {item.type}")
                return WRONG
        return first

    def _list(self, tree: l.ListLiteral) -> Node:
        items = self._constants(tree.items, "an item of a list")
        item = self._one_type(items, "items")
        type_ = WRONG if item == WRONG else list_of(item)
        return Constant(tree.span, type_, tuple(item.value for item in items))

    def _map(self, tree: l.MapLiteral) -> Node:
        keys = self._constants(tree.keys, "a key of a map")
        values = self._constants(tree.values, "a value of a map")
        key_type, value_type = self._one_type(keys, "keys"), self._one_type(values, "values")
        if key_type not in (*KEYS, WRONG, DYN):
            message = f"expected a text, a whole number or a truth value as key, got {key_type}"
            self.report(keys[0].span, message)
            key_type = WRONG
        if WRONG in (key_type, value_type):
            return Constant(tree.span, WRONG, None)
        made: dict[object, object] = {}
        for key, value in zip(keys, values, strict=True):
            if key.value in made:
                return self._wrong(key.span, f"the key {key.value!r} is given twice")
            made[key.value] = value.value
        return Constant(tree.span, map_of(key_type, value_type), made)


# --- messages -------------------------------------------------------------------------------------


def listed(names: Iterable[str], *, quoted: bool = False) -> str:
    """Some of the names, as a message gives them."""
    shown = [repr(name) if quoted else name for name in names]
    return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "")


def _mismatch(sign: str, left: Node, right: Node, overloads: Sequence[Overload]) -> str:
    types = (left.type, right.type)
    got = f"got {left.type} and {right.type}"
    numbers = INT in types and DOUBLE in types
    if sign == "in" and right.type != DYN:
        if right.type.name not in ("list", "map"):
            hint = ": write text.contains(part)" if right.type == STRING else ""
            return f"'in' expected a list or a map on its right, got {right.type}{hint}"
        return f"'in' expected {right.type.items[0]} on its left, got {left.type}"
    if NULL in types and sign in ("==", "!="):
        other = left if right.type == NULL else right
        return f"{other.type} is never null: to ask whether it is known, write has(...)"
    for record in types:
        if isinstance(record, Record):
            return f"'{sign}' expected values, got {record}: name one of its fields"
    if DYN in types and (TIMESTAMP in types or DURATION in types):
        need = "timestamp" if TIMESTAMP in types else "duration"
        return f"'{sign}' expected two values of one type, {got}: write {need}(...)"
    if numbers:
        fix = "write 1.0 for 1" if _is_whole(left) or _is_whole(right) else "write double(...)"
        return f"'{sign}' expected two numbers of one type, {got}: {fix}"
    if sign in ("+", "-", "*", "/", "%"):
        taken = listed(
            f"{o.parameters[0]} {sign} {o.parameters[1]}"
            for o in overloads
            if not o.parameters[0].items
        )
        return f"'{sign}' expected {taken}, {got}"
    hint = ': write duration("90s")' if DURATION in types else ""
    return f"'{sign}' expected two values of one type, {got}{hint}"


def _is_whole(node: Node) -> bool:
    return isinstance(node, Constant) and node.type == INT


def _no_overload(tree: l.Call, arguments: Sequence[Node], overloads: Sequence[Overload]) -> str:
    forms = []
    for overload in overloads:
        types = [str(p).replace("(A)", "").replace("(A, B)", "") for p in overload.parameters]
        if tree.target is None:
            forms.append(f"{tree.function}({', '.join(types)})")
        else:
            forms.append(f"{types[0]}.{tree.function}({', '.join(types[1:])})")
    types = [str(argument.type) for argument in arguments]
    if tree.target is None:
        got = f"{tree.function}({', '.join(types)})"
    else:
        got = f"{types[0]}.{tree.function}({', '.join(types[1:])})"
    moment = tree.function in moments.MOMENT_PARTS and arguments and arguments[0].type == DYN
    hint = ": write timestamp(...)" if moment else ""
    return f"expected {' or '.join(dict.fromkeys(forms))}, got {got}{hint}"
