"""What imports cannot say: the core is pure and ordered, files and functions stay small, names that
say nothing are not used, and no message is forgotten by a dispatcher, the journal or the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from router.core import engine
from router.core.commands import Command
from router.core.effects import Effect
from router.core.events import Event
from router.core.state import APPLY
from router.journal import codec
from tests.architecture.sets import iterated_sets

ROOT = Path(__file__).parent.parent.parent
CORE = sorted((ROOT / "router" / "core").rglob("*.py"))
CODE = sorted(
    path for part in ("router", "adapters", "loadtest") for path in (ROOT / part).rglob("*.py")
)
SCRIPTS = sorted((ROOT / "router" / "web").rglob("*.js"))
FILE_LINES = 500
FUNCTION_LINES = 60
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
IMPURE = {"hash", "id", "open", "print", "input", "exec", "eval", "breakpoint"}
CLOCKS = {"now", "today", "utcnow"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=name_of(path))


def place(path: Path, node: ast.AST) -> str:
    return f"{name_of(path)}:{getattr(node, 'lineno', 0)}"


# --- the core ---------------------------------------------------------------------------------


def impurities(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)):
            yield f"{place(path, node)}: async"
        elif isinstance(node, ast.Global):
            yield f"{place(path, node)}: global {', '.join(node.names)}"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in IMPURE:
                yield f"{place(path, node)}: {called.id}()"
            elif isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                yield f"{place(path, node)}: .{called.attr}()"


def test_the_core_asks_nobody() -> None:
    assert [found for path in CORE for found in impurities(path)] == []


def test_the_core_iterates_over_no_set() -> None:
    trees = {name_of(path): tree_of(path) for path in CORE}
    assert iterated_sets(trees) == []


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "a = set(b)\n[x for x in a]",
        "def f(a: frozenset[int]) -> list[int]:\n    return list(a)",
        "class A:\n    def f(self):\n        self.a: set[int] = set()\n        return max(*self.a)",
        "def f(a, b):\n    return tuple(a.keys() & b)",
        "def f(a: set[int]):\n    return a.pop()",
        "def f(a, b):\n    for x in (a.keys() | b) - {1}:\n        pass",
    ],
)
def test_an_iterated_set_is_seen(code: str) -> None:
    assert len(iterated_sets({"planted.py": ast.parse(code)})) == 1


@pytest.mark.parametrize(
    "code",
    [
        "a = {1, 2}\n3 in a",
        "a = set(b)\nsorted(a)\nlen(a)",
        "a = set(b)\na &= {1}\nsum(1 for x in c if x in a)",
        "def f(a: list[int]):\n    return a.pop()",
    ],
)
def test_asking_a_set_is_no_iteration(code: str) -> None:
    assert iterated_sets({"innocent.py": ast.parse(code)}) == []


def test_type_checking_hides_no_import_in_the_core_but_random() -> None:
    hidden = []
    for path in CORE:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                imports = [n for n in node.body if isinstance(n, (ast.Import, ast.ImportFrom))]
                hidden += [
                    f"{place(path, n)}: {ast.unparse(n)}"
                    for n in imports
                    if ast.unparse(n) not in ("import random", "from random import Random")
                ]
    assert hidden == []


# --- sizes and names --------------------------------------------------------------------------


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    long = {
        name_of(path): lines
        for path in [*CODE, *SCRIPTS]
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = {}
    for path in CODE:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{place(path, node)} {node.name}"] = lines
    assert long == {}


def test_every_module_has_a_name_that_says_something() -> None:
    assert [name_of(p) for p in CODE if p.stem in EMPTY_NAMES or p.parent.name in EMPTY_NAMES] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(p) for p in CODE if p.stat().st_size and not ast.get_docstring(tree_of(p))]
    assert silent == []


def test_the_standard_library_is_not_hidden() -> None:
    """A folder `adapters/email` would hide the standard `email` from scripts run beside it."""
    import sys

    tops = [p for part in ("router", "adapters", "loadtest") for p in (ROOT / part).iterdir()]
    names = {p.stem for p in tops if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names & sys.stdlib_module_names == set()


def test_every_file_of_the_core_has_a_test_file_of_its_own() -> None:
    tested = {path.name for path in (ROOT / "tests" / "core").rglob("test_*.py")}
    told = {  # words alone: nothing in them can be right or wrong
        "__init__.py",
        "call_commands.py",
        "call_events.py",
        "contact_events.py",
        "customer_commands.py",
        "customer_events.py",
        "customer_model.py",
        "facts.py",
        "outbound_events.py",
        "workspace_commands.py",
        "reservation_events.py",
        "record.py",
        "model.py",
        "commands.py",
        "events.py",
        "effects.py",
        "policy.py",
    }
    missing = [p.name for p in CORE if p.name not in told and f"test_{p.name}" not in tested]
    assert missing == []


def test_each_test_of_the_core_imports_what_it_is_named_for() -> None:
    strangers = []
    for path in sorted((ROOT / "tests" / "core").glob("test_*.py")):
        module = path.stem.removeprefix("test_")
        text = path.read_text("utf-8")
        if (
            f"router.core.{module} import" not in text
            and f"router.core import {module}" not in text
        ):
            strangers.append(path.name)
    assert strangers == []


def test_the_core_is_tested_without_mocks() -> None:
    mocked = [
        name_of(path)
        for path in (ROOT / "tests" / "core").glob("*.py")
        if "unittest.mock" in path.read_text("utf-8") or "monkeypatch" in path.read_text("utf-8")
    ]
    assert mocked == []


def sleeps(node: ast.AST, *, in_loop: bool = False) -> Iterator[ast.Call]:
    """Calls of sleep that wait for time to pass: not a turn given to the loop (0), and not in a
    loop that asks another process again and again."""
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.Call)
            and ast.unparse(child.func) in ("time.sleep", "asyncio.sleep")
            and not in_loop
            and ast.unparse(child.args[0]) != "0"
        ):
            yield child
        yield from sleeps(child, in_loop=in_loop or isinstance(child, ast.For | ast.While))


def test_no_test_sleeps() -> None:
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    assert [place(path, call) for path in paths for call in sleeps(tree_of(path))] == []


# --- no message is forgotten ------------------------------------------------------------------

COMMANDS, EVENTS, EFFECTS = (set(get_args(union)) for union in (Command, Event, Effect))


def test_every_command_has_a_handler_and_every_handler_a_command() -> None:
    assert set(engine.HANDLERS) == COMMANDS


def test_every_event_changes_the_state_in_one_place() -> None:
    assert set(APPLY) == EVENTS


def test_no_message_stands_outside_its_union() -> None:
    records = {
        node.name
        for path in CORE
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(b) for b in node.bases} & {"Record", "Personal"}
    }
    assert records - {"Policy", "Personal"} == {
        kind.__name__ for kind in COMMANDS | EVENTS | EFFECTS
    }


def test_the_journal_can_write_every_event_and_effect() -> None:
    assert set(get_args(codec.Event)) == EVENTS
    assert set(get_args(codec.Effect)) == EFFECTS


def test_every_effect_says_whether_it_may_be_repeated() -> None:
    assert {
        effect.__name__: effect.REPEAT
        for effect in EFFECTS
        if effect.REPEAT not in ("safe", "query", "never")
    } == {}


@pytest.mark.parametrize("member", sorted(m.__name__ for m in COMMANDS | EVENTS | EFFECTS))
def test_a_message_is_named_in_a_test(member: str) -> None:
    assert member in TEST_WORDS, f"no file under tests/ names {member}"


TEST_WORDS = {
    word
    for pattern in ("**/*.py", "scenarios/*.txt", "journal/golden/*")
    for path in (ROOT / "tests").glob(pattern)
    for word in re.findall(r"[A-Za-z]+", path.read_text("utf-8"))
}
