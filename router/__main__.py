"""The command line: `contact-router`."""

from __future__ import annotations

import asyncio
import errno
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from router import __version__
from router.errors import ConfigError, JournalBusy, RouterError
from router.remote.options import server_option

DEFAULT_CONFIG = "config/contact-router.yaml"
DEMO_CONFIG = "config/loyalty.yaml"
DEMO_DATA = "var/demo"
F = TypeVar("F", bound=Callable[..., Any])

EXIT_CONFIG = 2
EXIT_BUSY = 3


def _config_option(default: str) -> Callable[[F], F]:
    return click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path(default),
        show_default=True,
        envvar="CONTACT_ROUTER_CONFIG",
        help="The configuration file.",
    )


def _workspace_option(required: str = "") -> Callable[[F], F]:
    return click.option(
        "-w",
        "--workspace",
        default="",
        help="Which workspace; not needed when there is one only." + required,
    )


def _data_option() -> Callable[[F], F]:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The data directory; default: as the configuration says.",
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="contact-router")
def main() -> None:
    """One queue for voice, SMS, email and chat: contact routing that can say why.

    Start with `contact-router demo`. For your own contacts copy config/demo.yaml, change it,
    check it with `contact-router check`, make a token with `contact-router token create`, and
    `contact-router serve` it.
    """


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def loadtest(words: tuple[str, ...]) -> None:
    """Measure this machine: a day by a profile, the knee, two builds (`loadtest --help`).

    Starts servers of its own in temporary directories; one that runs is not touched.
    """
    from loadtest.__main__ import main as measure

    sys.exit(measure(words, "contact-router loadtest"))


@main.command()
@_config_option(DEFAULT_CONFIG)
@_data_option()
def serve(path: Path, data: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again: a file with errors changes nothing. SIGUSR1 writes a
    backup into <data>/backup. After a crash it goes on where it was.
    """
    from router import app
    from router.runtime import logs

    def start() -> Coroutine[Any, Any, None]:
        config = app.load_config(path)
        logs.set_up(config.server.log_level.value)
        return app.serve(app.Server(config, path, data=data))

    _run(start)


@main.command()
@_config_option(DEMO_CONFIG)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEMO_DATA),
    show_default=True,
    help="Where the demo keeps its contacts; delete it to start afresh.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Listen on another port.")
@click.option("--seed", type=int, default=None, help="Draw the same customers each time.")
@click.option("--quiet-people", is_flag=True, help="No simulated customers and agents.")
def demo(path: Path, data: Path, port: int | None, seed: int | None, quiet_people: bool) -> None:
    """Start a server with simulated customers and agents, and print links that sign you in.

    Open the desk link, and the agent is yours: the simulation lets go of it. Ctrl-C stops;
    started again, it goes on where it was.
    """
    from router import demo_server

    _run(lambda: demo_server.run(path, data, port=port, seed=seed, people=not quiet_people))


@main.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_CONFIG)
def check(path: Path) -> None:
    """Check a configuration file: every error at once, with line and column. Exit code 2 if any.

    Runs the tests that stand in the file: one that fails is an error. Rules that no contact reaches
    are warnings, and change nothing about the exit code.
    """
    from router import config as configuration

    def look() -> None:
        config = configuration.load(path)
        findings = adapter_findings(config)
        if findings:
            raise ConfigError(findings)
        for name, workspace in config.workspaces.items():
            for warning in workspace.warnings:
                click.echo(f"warning: {warning}", err=True)
            policy = workspace.policy
            rules = f", {len(policy.rules.rules)} rules" if policy.rules.is_asked else ""
            tests = f", {len(workspace.tests)} tests passed" if workspace.tests else ""
            click.echo(
                f"{path}: workspace {name}: {len(policy.queues)} queues, "
                f"{len(policy.entry_points)} entry points, {len(workspace.adapters)} adapters, "
                f"{len(workspace.agents)} agents{rules}{tests}: good"
            )

    _guard(look)


@main.command()
@_config_option(DEFAULT_CONFIG)
@_data_option()
@click.option("--adapters", is_flag=True, help="Ask the adapters' backends what is wrong there.")
def doctor(path: Path, data: Path | None, adapters: bool) -> None:
    """Look for what is wrong: versions, settings, checksums of all that is stored.

    Reads only, so it may run beside a server. Exit code 1 if it finds an error.
    """
    from router import config as configuration
    from router import offline

    def start() -> Coroutine[Any, Any, None]:
        return _doctor(configuration.load(path), data)

    async def _doctor(config: configuration.Config, data: Path | None) -> None:
        findings: list[Any] = [*await offline.diagnose(config, data)]
        if adapters:
            findings += await backend_findings(config)
        for finding in findings:
            colour = {"ok": "green", "warning": "yellow"}.get(finding.level, "red")
            click.echo(f"{click.style(f'{finding.level:8}', fg=colour)} {finding.text}")
        if any(finding.level == "error" for finding in findings):
            sys.exit(1)

    _run(start)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_config_option(DEFAULT_CONFIG)
@_data_option()
def backup(directory: Path, path: Path, data: Path | None) -> None:
    """Copy the journal, the keys and the secret of a stopped server into DIRECTORY.

    Of a running server: send it SIGUSR1, and look into <data>/backup. Keep DIRECTORY/journal and
    DIRECTORY/keys (with the secret) apart: together they are personal data, the journal alone is
    not. `contact-router restore` brings them back.
    """
    from router import config as configuration
    from router import offline

    async def copy() -> None:
        for file in await offline.backup(configuration.load(path), data, directory):
            click.echo(str(file))

    _run(copy)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=None,
    help="Where the copy of keys and secret lies. Default: DIRECTORY/keys.",
)
@_config_option(DEFAULT_CONFIG)
@_data_option()
def restore(directory: Path, keys: Path | None, path: Path, data: Path | None) -> None:
    """Bring the backup in DIRECTORY into the configured store: files, or Redis.

    The store and the data directory must be empty: a restore never overwrites. Whoever was erased
    after the backup stays erased, as far as newer keys are found: in the data directories, and in
    the copies beside the backup. Afterwards look at it with `contact-router doctor`, then start.
    """
    from router import config as configuration
    from router import offline

    async def bring() -> None:
        config = configuration.load(path)
        found = await offline.restore(
            config, data, directory / "journal", keys or directory / "keys"
        )
        for line in found:
            click.echo(line)

    _run(bring)


@main.group()
def token() -> None:
    """Make, list and revoke tokens while the server is stopped.

    Beside a running server use the API (POST /v1/tokens) with a token of role admin.
    """


@token.command("create")
@click.argument(
    "role", type=click.Choice(["admin", "supervisor", "agent", "adapter", "client", "metrics"])
)
@click.option("--name", default="", help="What it is for, to recognise it in the list.")
@click.option("--agent", default="", help="The agent, for role agent.")
@click.option("--adapter", default="", help="The adapter's name, for role adapter.")
@click.option(
    "--days", type=click.IntRange(0, 3650), default=0, help="Expires after so many days; 0 = never."
)
@click.option("--link", is_flag=True, help="A link that signs a page in, instead of a token.")
@_workspace_option()
@_config_option(DEFAULT_CONFIG)
@_data_option()
def token_create(
    role: str,
    name: str,
    agent: str,
    adapter: str,
    days: int,
    link: bool,
    workspace: str,
    path: Path,
    data: Path | None,
) -> None:
    """Make a token and print it. It is shown once: only its hash is stored."""
    from router import offline

    wanted = offline.NewToken(
        role=role, name=name, agent=agent, adapter=adapter, days=days, is_link=link
    )
    _run(lambda: _echo(offline.create_token(path, data, workspace, wanted)))


@token.command("list")
@_workspace_option()
@_config_option(DEFAULT_CONFIG)
@_data_option()
def token_list(workspace: str, path: Path, data: Path | None) -> None:
    """List the tokens of a workspace: id, role, name, bound to, expires."""
    from router import offline

    _run(lambda: _echo(offline.list_tokens(path, data, workspace)))


@token.command("revoke")
@click.argument("id_", metavar="ID")
@_workspace_option()
@_config_option(DEFAULT_CONFIG)
@_data_option()
def token_revoke(id_: str, workspace: str, path: Path, data: Path | None) -> None:
    """End a token by its id (see `token list`)."""
    from router import offline

    _run(lambda: _echo(offline.revoke_token(path, data, workspace, id_)))


@main.command()
@server_option("")
@click.option(
    "--from", "from_seq", type=click.IntRange(1), default=None, help="First sequence number."
)
@_workspace_option()
@_config_option(DEFAULT_CONFIG)
@_data_option()
def tail(
    server: str,
    token_file: Path | None,
    from_seq: int | None,
    workspace: str,
    path: Path,
    data: Path | None,
) -> None:
    """Print events, one JSON object a line: of a running server (--server), else of a stopped one.

    A running server's events come as they happen (from now on, or from --from on) until Ctrl-C.
    """
    from router import offline
    from router.remote.server import read_token

    if server:
        _run(lambda: offline.tail_server(server, read_token(token_file), from_seq, click.echo))
    else:
        _run(lambda: offline.tail_store(path, data, workspace, from_seq or 1, click.echo))


@main.command()
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="The policy to try.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="The policy that was in force: replayed as well, as the control.",
)
@click.option("--from", "since", default="", help="First moment, ISO 8601; without a zone UTC.")
@click.option("--until", default="", help="Last moment; default: the end of the log.")
@click.option(
    "--json",
    "to_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write the whole comparison into this file.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="For what must be drawn.")
@click.option(
    "--moved", type=click.IntRange(0), default=20, show_default=True, help="Contacts to list."
)
@_workspace_option()
@_data_option()
def replay(
    path: Path,
    against: Path | None,
    since: str,
    until: str,
    to_file: Path | None,
    seed: int,
    moved: int,
    workspace: str,
    data: Path | None,
) -> None:
    """Try a policy on past traffic: what happened beside what would have.

    --data is the data directory of a server, stopped or running, or a backup. Nothing in it is
    changed. docs/replay.md says what is given by the record and what is decided anew.
    """
    from router.replay import report, run

    def show(what: str, share: float) -> None:
        click.echo(f"\r{what} {share:4.0%} ", nl=False, err=True)

    def compare() -> None:
        wanted = run.Wanted(path, against, data, workspace, since, until, seed)
        result = run.replay(wanted, show if sys.stderr.isatty() else run.silent)
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        if to_file is not None:
            to_file.write_bytes(run.to_json(result))
        click.echo("\n".join(report.table(result, moved)))

    _guard(compare)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Run the routing engine against drawn workloads and faults, checked by an independent auditor.

    The same as `python -m router.testing.simulator`; `simulate --help` lists its options.
    """
    simulator = importlib.import_module("router.testing.simulator")

    def simulate_all() -> None:
        if simulator.main(arguments, "contact-router simulate"):
            sys.exit(1)

    _guard(simulate_all)


def _add_remote() -> None:
    from router.remote import commands

    commands.add_to(main, _run)


# --- how commands run -------------------------------------------------------------------------


async def _echo(lines: Coroutine[Any, Any, list[str]]) -> None:
    for line in await lines:
        click.echo(line)


def _run(start: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on the fast loop; mistakes of the user are sentences, not tracebacks."""

    async def run() -> None:
        await start()

    def on_loop() -> None:
        if importlib.util.find_spec("uvloop") is not None:
            import uvloop

            uvloop.run(run())
        else:
            asyncio.run(run())

    _guard(on_loop)


def _guard(action: Callable[[], Any]) -> None:
    try:
        action()
    except KeyboardInterrupt:
        sys.exit(130)
    except ConfigError as error:
        _complain("\n".join(error.findings), EXIT_CONFIG)
    except JournalBusy as error:
        _complain(str(error), EXIT_BUSY)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (RouterError, OSError) as error:
        hint = ""
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            hint = "\nAnother program listens there: stop it, or choose another port."
        _complain(f"{error}{hint}", 1)


def _complain(text: str, code: int) -> None:
    click.echo(text, err=True)
    sys.exit(code)


def adapter_findings(config: Any) -> list[str]:
    """What is wrong with the adapters' own settings, which only the adapters know."""
    from adapters import read_settings
    from router.runtime.channels import adapter_module

    findings: list[str] = []
    for workspace in config.workspaces.values():
        for name, adapter in workspace.adapters.items():
            try:
                module = adapter_module(name, adapter.type)
                read_settings(module.SETTINGS, dict(adapter.settings), f"adapters.{name}")
            except ConfigError as error:
                findings += error.findings
    return findings


async def backend_findings(config: Any) -> list[Any]:
    """What the adapters' backends say is wrong, of those that can be asked."""
    from router.runtime.channels import adapter_module

    findings: list[Any] = []
    for workspace in config.workspaces.values():
        for name, adapter in workspace.adapters.items():
            check = getattr(adapter_module(name, adapter.type), "check", None)
            if check is not None:
                channel = adapter.channel or adapter.type
                endpoints = {agent.endpoints.get(channel, "") for agent in workspace.agents}
                settings = dict(adapter.settings)
                findings += await check(name, settings, sorted(endpoints - {""}))
    return findings


_add_remote()

if __name__ == "__main__":
    main()
