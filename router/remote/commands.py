"""The commands of the command line that ask a running server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO

import click

from router.remote import nodes
from router.remote.options import server_option
from router.remote.server import DEFAULT_URL, RunningServer, read_token

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
FILE = click.Path(path_type=Path, dir_okay=False)


def add_to(main: click.Group, run: Run) -> None:
    """Add the commands. `run` carries a coroutine out and tells errors as sentences."""
    asks_server = server_option(DEFAULT_URL)
    main.command("preference")(asks_server(_preference(run)))
    main.command("import")(asks_server(_import(run)))
    main.command("explain")(asks_server(_explain(run)))
    main.command("report")(asks_server(_report(run)))
    nodes.add_to(main, run)


def _preference(run: Run) -> Callable[..., None]:
    @click.argument("customer")
    @click.option("--purpose", default="", help="What contact would be for; default: service.")
    @click.option("--svg", "svg_file", type=FILE, default=None, help="Write the heat map here.")
    @click.option(
        "--png",
        "png_file",
        type=FILE,
        default=None,
        help="Write the heat map here; needs contact-router[pictures].",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the server's answer instead.")
    def preference(
        customer: str,
        purpose: str,
        svg_file: Path | None,
        png_file: Path | None,
        as_json: bool,
        server: str,
        token_file: Path | None,
    ) -> None:
        """When and how a customer is reached best, and why; CUSTOMER is an id or an address.

        Windows are ranked; only permitted ones are shown, each with the evidence it rests on. The
        pictures show a week for each channel: darker is likelier, hatched is not permitted.
        """
        import msgspec

        from router.remote import preference as report

        async def ask() -> None:
            if png_file is not None:
                report.check_renderer()
            async with RunningServer(server, read_token(token_file)) as running:
                found = await report.fetch(running, customer, purpose)
            report.draw(found, svg_file, png_file)
            if as_json:
                click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            else:
                for line in report.table(found):
                    click.echo(line)

        run(ask)

    return preference


def _explain(run: Run) -> Callable[..., None]:
    @click.argument("file", type=click.File("rb"), metavar="[CONTACT.json]", required=False)
    @click.option("--contact", default="", help="A live contact's id, instead of a file.")
    @click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        default=None,
        help="Ask this configuration file, not a server.",
    )
    @click.option("-w", "--workspace", default="", help="With --config: which one.")
    @click.option("--json", "as_json", is_flag=True, help="Print the evaluation as JSON.")
    def explain(
        file: BinaryIO | None,
        contact: str,
        path: Path | None,
        workspace: str,
        as_json: bool,
        server: str,
        token_file: Path | None,
    ) -> None:
        """What would happen to a contact now, and why. Nothing happens.

        CONTACT.json (- reads standard input) is what POST /v1/contacts takes: {"channel": "voice",
        "queue": "care", "customer": "kim"}. Told are the segment and each rule with every part of
        its condition, the queue and the place in it, who would get it, whom each relaxation step
        reaches and, of what goes out, permission and windows.

        With --config a file's rules are tried before anybody uses them: nobody waits, no agent is
        signed in, and a customer is what the JSON says: {..., "at": "2026-11-24T09:30+01:00",
        "facts": {"customer": {"attributes": {"plan": "gold"}}, "preference": {"channel": "sms"}}}.
        """
        import msgspec

        from router import explain as report

        if (file is None) is (not contact):
            raise click.UsageError("expected CONTACT.json, or --contact ID")
        if contact and path is not None:
            raise click.UsageError("--contact is asked of a server: a file knows none")

        async def ask() -> None:
            asked: dict[str, Any] = {"contact": contact}
            if file is not None:
                asked = report.read_contact(file.read(), getattr(file, "name", "<stdin>"))
            if path is not None:
                found = report.offline(path, workspace, asked)
            else:
                async with RunningServer(server, read_token(token_file)) as running:
                    found = await report.ask(running, asked)
            if as_json:
                click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            else:
                for line in report.lines(found):
                    click.echo(line)

        run(ask)

    return explain


def _import(run: Run) -> Callable[..., None]:
    @click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
    @click.option("--dry-run", "is_dry", is_flag=True, help="Check every row, record none.")
    @click.option("--rejected", type=FILE, default=None, help="Write rejected rows here, as CSV.")
    def import_(
        file: Path, is_dry: bool, rejected: Path | None, server: str, token_file: Path | None
    ) -> None:
        """Bring past attempts to reach customers in from a CSV file, so that they are learned from.

        Columns, in any order: channel, at (ISO 8601 with a zone, or an epoch), outcome, and who it
        was: customer (your id), identity (an address that tells them) or address (where it was
        tried); also direction (outbound, callback, inbound) and purpose. docs/import.md has more.
        Customers who are not there are made. The same row again changes nothing, so an import may
        be repeated. Exit code 1 when a row was rejected.
        """
        from router.remote import importing

        def say(text: str) -> None:
            click.echo(text, err=True)

        async def bring() -> None:
            async with RunningServer(server, read_token(token_file)) as running:
                done = await importing.run(running, file, is_dry=is_dry, rejected=rejected, say=say)
            click.echo(done.words(is_dry=is_dry))
            if done.rejected:
                sys.exit(1)

        run(bring)

    return import_


def _report(run: Run) -> Callable[..., None]:
    @click.option(
        "--from",
        "begin",
        default="",
        help="ISO 8601, with a zone or in UTC. Default: a day before --to.",
    )
    @click.option("--to", "end", default="", help="The same. Default: now.")
    @click.option(
        "--by",
        default="queue,channel",
        show_default=True,
        help="Of queue, channel, segment, by comma; or agent.",
    )
    @click.option(
        "--interval",
        type=click.Choice(["15m", "30m", "1h", "1d"]),
        default="15m",
        show_default=True,
    )
    @click.option("--json", "as_json", is_flag=True, help="JSON with the formulas, not CSV.")
    def report(
        begin: str,
        end: str,
        by: str,
        interval: str,
        as_json: bool,
        server: str,
        token_file: Path | None,
    ) -> None:
        """The measures of a span as CSV, worked out anew from the log.

        A line for each interval and name: waits count where they began, an agent's times as they
        pass. Lengths are in seconds; an empty cell is a measure of nothing. What each column means:
        docs/measures.md.
        """
        import msgspec

        from router.remote import reporting

        async def ask() -> None:
            query = reporting.query(begin, end, by, interval)
            async with RunningServer(server, read_token(token_file)) as running:
                if as_json:
                    found = await running.get("/v1/reports", **query)
                    click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
                else:
                    text = await running.get("/v1/reports.csv", **query)
                    click.echo(text.replace("\r\n", "\n"), nl=False)

        run(ask)

    return report
