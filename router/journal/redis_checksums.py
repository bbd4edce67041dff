"""What is wrong with a workspace's bytes in Redis: every checksum, and the chain of frames."""

from __future__ import annotations

from router.errors import RouterError
from router.journal import Finding
from router.journal.frame import Frame, file_name, link
from router.journal.redis_keyspace import (
    Keyspace,
    Line,
    archive_kinds,
    open_archived,
    open_entry,
    open_live,
    read_own,
    scan,
    scan_log,
)

_FINDINGS_MAX = 20


async def check_workspace(line: Line, workspace: str) -> list[Finding]:
    """All findings about one workspace. Never raises for what it finds.

    While its owner writes, the end of the log may be ahead of what was read of `own` before.
    """
    findings: list[Finding] = []
    try:
        await _look(line, workspace, Keyspace(file_name(workspace)), findings)
    except (RouterError, ValueError) as error:
        findings.append(Finding("error", str(error)))
    return findings


async def _look(line: Line, workspace: str, space: Keyspace, findings: list[Finding]) -> None:
    place = f"workspace {workspace!r}"
    if not await line.ask("EXISTS", space.own):
        findings.append(Finding("error", f"{place}: there is no {space.own}"))
        return
    own = await read_own(line, workspace, space)
    findings.append(Finding("ok", f"{place}: epoch {own.epoch}, sequence {own.seq}"))
    before: Frame | None = None
    count = 0
    async for entries in scan_log(line, space.log):
        for entry in entries:
            frame = open_entry(workspace, entry)
            link(workspace, before, frame)
            before = frame
            count += 1
    if before is not None and before.last_seq < own.seq:
        findings.append(
            Finding("error", f"{place}: the log ends at {before.last_seq}, own says {own.seq}")
        )
    findings.append(Finding("ok", f"{place}: {count} frames are whole"))
    damaged: list[Finding] = []
    count = 0
    async for pairs in scan(line, space.live):
        for field, stored in pairs:
            count += 1
            try:
                open_live(workspace, [(field, stored)])
            except RouterError as error:
                damaged.append(Finding("error", str(error)))
    for kind in await archive_kinds(line, space):
        async for pairs in scan(line, space.archive(kind)[0]):
            for field, stored in pairs:
                count += 1
                try:
                    open_archived(workspace, kind, field.decode("utf-8", "replace"), stored)
                except RouterError as error:
                    damaged.append(Finding("error", str(error)))
    findings += damaged[:_FINDINGS_MAX]
    level, word = ("error", f"{len(damaged)} of") if damaged else ("ok", "none of")
    findings.append(Finding(level, f"{place}: {word} {count} rows are damaged"))
