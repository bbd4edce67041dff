"""The configuration file as a whole: read, checked, compiled, and asked where things stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import get_args

import msgspec

from router.config.book import Compiled, compile_book
from router.config.checks import check
from router.config.compile import policy
from router.config.convert import (
    NAME,
    Invalid,
    Reading,
    fields,
    record,
    singular,
)
from router.config.reader import (
    Findings,
    Mapping,
    Mark,
    Node,
    Path,
    Unknown,
    read,
    shown,
)
from router.config.schema import AdapterSettings, AgentSeed, WebhookSettings, WorkspaceSection
from router.config.secret_files import located
from router.config.server import ServerSettings
from router.config.server_checks import check_server, with_files
from router.core.events import Event
from router.core.policy import Policy, default_channels
from router.core.rules.cases import RuleTest
from router.errors import ConfigError

DEFAULT_WORKSPACE = "main"
SECTIONS = (
    "channels",
    "hours",
    "queues",
    "entry_points",
    "profiles",
    "conditions",
    "segments",
    "rules",
    "tests",
    "templates",
    "agents",
    "adapters",
    "webhooks",
)
"""Of a workspace: those whose things have names."""


@dataclass(frozen=True, slots=True)
class WorkspaceSettings:
    """One workspace, compiled."""

    policy: Policy
    agents: list[AgentSeed]
    """To create at the first start, in the order of the file."""
    adapters: dict[str, AdapterSettings]
    webhooks: dict[str, WebhookSettings]
    """`secret_file` is absolute; read it with `read_secret`."""
    tests: tuple[RuleTest, ...]
    """Of segments and rules; all of them have passed."""
    warnings: tuple[str, ...]
    """What can hardly be meant, each with ``file:line:column``."""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration in which everything holds."""

    name: str
    """The file's name, as messages have it."""
    server: ServerSettings
    workspaces: dict[str, WorkspaceSettings]
    _places: dict[Path, Mark] = field(repr=False)
    _roots: dict[str, Path] = field(repr=False)

    def place(self, kind: str, workspace: str, id_: str) -> str | None:
        """``file:line`` of a ``"queue"``, an ``"entry_point"`` ...; None: there is none."""
        root = self._roots.get(workspace)
        if root is None:
            return None
        for section in SECTIONS:
            if kind in (section, singular(section).replace(" ", "_")):
                mark = self._places.get((*root, section, id_))
                return f"{self.name}:{mark.line}" if mark else None
        return None

    def where(self, *path: str | int) -> str:
        """``file:line:column`` of a setting, or of the nearest one around it."""
        while path and path not in self._places:
            path = path[:-1]
        mark = self._places.get(path, Mark(1, 1))
        return f"{self.name}:{mark.line}:{mark.column}"

    def root(self, workspace: str) -> Path:
        """Where a workspace's settings begin: nowhere, if the file leaves the level out."""
        return self._roots[workspace]


def load(path: FilePath) -> Config:
    """Read a file. Raises ConfigError with everything that is wrong with it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return loads(source, str(path))


def loads(source: str | bytes, name: str = "config") -> Config:
    """The same from memory; files named in it are looked for beside `name`. Raises ConfigError."""
    findings = Findings(name)
    root = read(source, findings)
    if root is not None:
        config = _Document(findings, FilePath(name).absolute().parent).config(root)
        if config is not None and not findings:
            return config
    raise ConfigError(findings.lines())


class _Document:
    """One reading of one file."""

    def __init__(self, findings: Findings, directory: FilePath) -> None:
        self._findings = findings
        self._directory = directory
        self._places: dict[Path, Mark] = {}
        self._roots: dict[str, Path] = {}

    def config(self, root: Node) -> Config | None:
        if not isinstance(root, Mapping):
            self._findings.add(root.mark, (), "expected settings (key: value), got something else")
            return None
        self._places[()] = root.mark
        server = self._server(root)
        sections = {
            name: (path, self._workspace(node, path))
            for name, (path, node) in self._workspaces(root).items()
        }
        self._check_adapters(sections)
        if self._findings:
            return None
        workspaces = {
            name: self._compiled(*found)
            for name, (_, found) in sections.items()
            if found is not None
        }
        server = with_files(server, self._directory)
        return Config(self._findings.name, server, workspaces, self._places, self._roots)

    def _server(self, root: Mapping) -> ServerSettings:
        reading = Reading(self._findings, {}, self._places)
        if "server" not in root.entries:
            return ServerSettings()
        mark, node = root.entries["server"]
        self._places["server",] = mark
        server = record(ServerSettings, node, ("server",), reading)
        if isinstance(server, Invalid):
            return ServerSettings()
        if server.metrics is not None and server.metrics.port == server.port:
            reading.add(("server", "metrics", "port"), f"{server.port} is the main listener's port")
        names = list(_names(root, "workspaces")) or [DEFAULT_WORKSPACE]
        check_server(server, names, reading, self._directory)
        return server

    def _workspaces(self, root: Mapping) -> dict[str, tuple[Path, Node]]:
        """Name -> (where its settings begin, its settings)."""
        own = fields(WorkspaceSection)
        known = ["server", "workspaces", *own]
        rest = {key: entry for key, entry in root.entries.items() if key in own}
        for key, (mark, _) in root.entries.items():
            if key not in known:
                otherwise = f": known here are {', '.join(known)}"
                error = Unknown(f"unknown key {shown(key)}", key, known, otherwise)
                self._findings.unknown(mark, (), error)
        if "workspaces" not in root.entries:
            return {DEFAULT_WORKSPACE: ((), Mapping(root.mark, rest))}
        for key, (mark, _) in rest.items():
            self._findings.add(
                mark, (), f"{key!r} belongs into a workspace, since there is 'workspaces'"
            )
        mark, node = root.entries["workspaces"]
        self._places["workspaces",] = mark
        if not isinstance(node, Mapping) or not node.entries:
            self._findings.add(
                node.mark, ("workspaces",), "expected workspaces by name, got something else"
            )
            return {}
        return self._named(node)

    def _named(self, node: Mapping) -> dict[str, tuple[Path, Node]]:
        found: dict[str, tuple[Path, Node]] = {}
        for name, (mark, inner) in node.entries.items():
            path: Path = ("workspaces", name)
            self._places[path] = mark
            # Stands in file names and in the keys of Redis.
            if not NAME.fullmatch(name) or not name.replace("-", "a").replace("_", "a").isalnum():
                self._findings.add(
                    mark,
                    path,
                    f"expected a name of letters, digits, '-' and '_', got {shown(name)}",
                )
            if any(name.lower() == other.lower() for other in found):
                self._findings.add(
                    mark, path, "differs from another workspace only by upper and lower case"
                )
            found[name] = (path, inner)
        return found

    def _workspace(self, node: Node, path: Path) -> tuple[WorkspaceSection, Compiled] | None:
        names = {section: _names(node, section) for section in SECTIONS}
        names["channels"] = {**dict.fromkeys(default_channels()), **names["channels"]}
        names["events"] = {event.__name__: None for event in get_args(Event)}
        reading = Reading(self._findings, names, self._places)
        section = record(WorkspaceSection, node, path, reading)
        if isinstance(section, Invalid):
            return None
        check(section, path, reading, self._directory)
        return section, compile_book(section, path, reading)

    def _check_adapters(
        self, sections: dict[str, tuple[Path, tuple[WorkspaceSection, Compiled] | None]]
    ) -> None:
        """Adapters' names go into URLs without the workspace's."""
        seen: dict[str, str] = {}
        for workspace, (path, found) in sections.items():
            self._roots[workspace] = path
            for name in found[0].adapters if found is not None else ():
                if name in seen:
                    at = (*path, "adapters", name)
                    self._findings.add(
                        self._places[at],
                        at,
                        f"workspace {seen[name]!r} has an adapter {name!r} too",
                    )
                seen[name] = workspace

    def _compiled(self, section: WorkspaceSection, compiled: Compiled) -> WorkspaceSettings:
        replace = msgspec.structs.replace
        return WorkspaceSettings(
            policy=policy(section, compiled),
            agents=[replace(agent, id=name) for name, agent in section.agents.items()],
            adapters={
                name: replace(
                    adapter,
                    channel=adapter.channel or name,
                    settings=located(adapter.settings, self._directory),
                )
                for name, adapter in section.adapters.items()
            },
            webhooks={
                name: replace(hook, secret_file=self._absolute(hook.secret_file))
                for name, hook in section.webhooks.items()
            },
            tests=compiled.tests,
            warnings=tuple(compiled.warnings),
        )

    def _absolute(self, file: str) -> str:
        return str(self._directory / file) if file else ""


def _names(node: Node, section: str) -> dict[str, None]:
    if not isinstance(node, Mapping) or section not in node.entries:
        return {}
    inner = node.entries[section][1]
    return dict.fromkeys(inner.entries) if isinstance(inner, Mapping) else {}
