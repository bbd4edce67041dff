"""The documents are true: diagrams are the tables', links lead somewhere, commands exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from router.__main__ import main
from router.core.tallies import FORMULAS, SERVICE_LEVELS
from tests.architecture import diagrams

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("adapters/*.md"),
                    *ROOT.glob("adapters/examples/*/*.md")])  # fmt: skip
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"contact-router (?!-)([a-z]+)\b")
MAKE = re.compile(r"`make ([a-z]+)\b")


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_diagrams_are_those_of_the_tables() -> None:
    text = text_of("ARCHITECTURE.md")
    assert diagrams.current(text) == text, "not current: run `make lifecycle`"


def test_a_diagram_without_its_mark_is_named() -> None:
    with pytest.raises(ValueError, match="contact: drawn by"):
        diagrams.current("# nothing here")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_that_is_named_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    spans = re.findall(r"`([^`\n]+)`", text) + re.findall(
        r"^ +(contact-router .*)$", text, re.MULTILINE
    )
    spans += [
        line
        for block in re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    named = {name for span in spans for name in COMMAND.findall(span)}
    assert named - set(main.commands) == set()
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    assert set(MAKE.findall(text)) - targets == set()


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_every_measure_stands_in_its_document_with_its_formula(name: str) -> None:
    assert f"| `{name}` | {FORMULAS[name].replace('|', '/')} |" in text_of("docs/measures.md")


@pytest.mark.parametrize("name", sorted(SERVICE_LEVELS))
def test_every_service_level_stands_in_its_document(name: str) -> None:
    assert f"| {name} | {SERVICE_LEVELS[name]} |" in text_of("docs/measures.md")


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = [re.split(r"[>\[;= ]", line)[0] for line in wanted]
    text = text_of("ARCHITECTURE.md")
    missing = {name for name in names if f"**{name}**" not in text}
    assert missing == {project["name"]}, "the extras name the project itself, and nothing else"


def test_the_lock_names_everything_with_hashes_and_no_address() -> None:
    for name in ("server", "build", "test"):
        text = text_of(f"requirements/{name}.txt")
        pins = re.findall(r"^\S+==\S+.*\\$", text, re.MULTILINE)
        assert len(pins) > 3
        assert len(re.findall(r"^[a-zA-Z0-9]", text, re.MULTILINE)) == len(pins), (
            "a line without hashes"
        )
        for address in ("://", "--index", "--find-links"):
            assert address not in text, address


def test_the_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]

    def asked(lines: list[str]) -> set[str]:
        return {re.split(r"[>\[;= ]", line)[0].lower() for line in lines}

    def locked(name: str) -> set[str]:
        pin = re.compile(r"^([a-z0-9-]+)(?:\[.*\])?==", re.MULTILINE)
        return set(pin.findall(text_of(f"requirements/{name}.txt")))

    assert asked(project["dependencies"]) - locked("server") == set()
    extras = project["optional-dependencies"].values()
    wanted = asked([line for extra in extras for line in extra])
    assert wanted - locked("test") == {project["name"]}


def test_code_names_only_documents_that_are_here() -> None:
    known = {path.name for path in [*DOCUMENTS, *ROOT.glob("router/**/*.md")]}
    strangers = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("router", "adapters", "loadtest", "tests", "config")
        for path in sorted((ROOT / folder).rglob("*"))
        if "node_modules" not in path.parts
        and path.suffix in (".py", ".js", ".lua", ".yaml", ".html", ".css", ".txt")
        for name in re.findall(r"[\w-]+\.md\b", path.read_text("utf-8"))
        if name not in known
    ]
    assert strangers == []
