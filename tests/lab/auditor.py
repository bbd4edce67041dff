"""Judges a run of the lab from its raw logs and what the installation has at the end.

It knows nothing of the router's code. `python -m tests.lab.auditor var/lab/1` judges a run again.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.checker import Checker, Json
from tests.lab.raw import Line, read

CAPACITY = 100
MAXIMUM = {"chat": 3, "sms": 5, "email": 10}
SHOWN = 20
"""So many findings of one kind are written out."""
COMPLETED = "ContactClosed"


@dataclass
class Fault:
    """What one fault did to whoever waited for answers."""

    number: int
    name: str
    where: list[str]
    begin: float
    over: float = 0.0
    settled: float = 0.0
    silence_s: float = 0.0
    """The longest time without any acknowledgement that began with or after it."""
    takeover_s: float | None = None
    """Until another epoch began; None: none did."""


@dataclass
class Verdict:
    """What was found; everything in `findings` is a broken promise."""

    findings: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def find(self, kind: str, text: str) -> None:
        self.findings.setdefault(kind, []).append(text)

    def broken(self) -> int:
        return sum(len(texts) for texts in self.findings.values())


class Auditor:
    """Reads the logs of one run."""

    def __init__(self, directory: Path) -> None:
        self.verdict = Verdict()
        self._checker = Checker(CAPACITY, MAXIMUM)
        self._logs = {
            name: list(read(directory / f"{name}.jsonl"))
            for name in ("customers", "desks", "backend", "streams", "lab", "final")
        }
        self._failures = [
            f"{log.parent.name}: {line:.300}"
            for log in sorted(directory.glob("router*/log"))
            for line in log.read_text(errors="replace").splitlines()
            if "Traceback" in line
        ]
        self._sent: dict[str, str] = {}
        """Message -> event type, as the stream has it at the end."""

    def judge(self) -> Verdict:
        self._final_stream()
        self._other_streams()
        self._acknowledged()
        self._desks()
        self._effects()
        self._ends()
        for line in (line for log in self._logs.values() for line in log if line["k"] == "odd"):
            self.verdict.find("unexpected answers", line["text"])
        for text in self._failures:
            self.verdict.find("failures in a log", text)
        for text in self._checker.wrong:
            self.verdict.find(kind_of(text), text)
        self._times()
        return self.verdict

    def _lines(self, log: str, *kinds: str) -> list[Line]:
        return [line for line in self._logs[log] if line["k"] in kinds]

    # --- streams --------------------------------------------------------------------------------

    def _final_stream(self) -> None:
        """The stream as it is at the end is the truth that all else is held against."""
        events = self._lines("final", "event")
        for line in events:
            self._checker.event(line["seq"], line["event"])
            event = line["event"]
            if event["type"] in {"MessageReceived", "MessageSent"}:
                self._sent[event["message"]] = event["type"]
        self.verdict.counts["events"] = len(events)
        if not events:
            self.verdict.find("the run itself", "no event at the end: nothing can be judged")

    def _other_streams(self) -> None:
        """What readers were shown while it happened, on any node."""
        truth = self._checker.events
        last: dict[int, int] = {}
        for line in self._lines("streams", "event", "gap", "open"):
            reader = line["reader"]
            if line["k"] == "gap":
                self.verdict.find("streams with gaps", f"reader {reader}: after {line['after']}")
                continue
            if line["k"] == "open":
                last[reader] = line["after"]
                continue
            seq = line["seq"]
            if seq != last[reader] + 1:
                self.verdict.find(
                    "streams with gaps", f"reader {reader}: {seq} after {last[reader]}"
                )
            last[reader] = seq
            if truth.get(seq) != line["event"]:
                self.verdict.find(
                    "sequence numbers with two meanings",
                    f"{seq}: reader {reader} was shown {line['event']}, "
                    f"at the end it is {truth.get(seq)}",
                )
        shown = self._lines("streams", "event")
        self.verdict.counts["events shown to readers"] = len(shown)

    # --- what was acknowledged ------------------------------------------------------------------

    def _acknowledged(self) -> None:
        checker = self._checker
        acks = [*self._lines("customers", "ack"), *self._lines("backend", "ack")]
        for line in acks:
            checker.acknowledged(line["mark"], line["contact"])
            if line["text"]:
                checker.message_acknowledged(line["contact"], line["text"])
        for line in self._lines("desks", "ok"):
            command = line["command"]
            if command["type"] == "accept":
                checker.accept_acknowledged(command["reservation"])
            elif command["type"] == "send":
                checker.message_acknowledged(command["contact"], command["text"])
            elif command["type"] == "complete" and command["contact"] not in checker.closed:
                self.verdict.find(
                    "acknowledged and lost",
                    f"{command['contact']}: completed for {line['agent']}, and not closed",
                )
        checker.finish(line["contact"] for line in self._lines("final", "contact"))
        for line in self._lines("final", "messages"):
            checker.messages(line["contact"], line["texts"])
        listed = {line["contact"] for line in self._lines("final", "messages")}
        for contact in set(checker.said) - listed:
            self.verdict.find("the run itself", f"messages of {contact} were not collected")
        asked = self._lines("customers", "ask") + self._lines("backend", "ask")
        answered = {line["mark"] for line in acks}
        open_ = {line["mark"] for line in asked} - answered
        for mark in sorted(open_)[:SHOWN]:
            self.verdict.find("never answered", mark)
        commands = self._lines("desks", "ok")
        self.verdict.counts |= {
            "contacts acknowledged": len(answered),
            "acknowledgements": len(acks) + len(commands),
            "accepts acknowledged": sum(c["command"]["type"] == "accept" for c in commands),
            "refusals that were repeated": len(self._lines("customers", "fail")),
        }

    def _desks(self) -> None:
        """What desks were shown is on the stream; and nobody's epoch goes back."""
        checker = self._checker
        epochs: dict[str, int] = {}
        for line in self._lines("desks", "welcome", "push"):
            agent, epoch = line["agent"], line["epoch"]
            if epoch < epochs.get(agent, 0):
                self.verdict.find("epochs that went back", f"{agent}: {epoch} at {line['t']}")
            epochs[agent] = max(epoch, epochs.get(agent, 0))
            if line["k"] == "push":
                self._same(line["seq"], line["event"], agent)
            else:
                held = [dict(zip(("id", "contact", "state"), h, strict=True)) for h in line["held"]]
                checker.welcomed(line["seq"], agent, held)
        welcomes = self._lines("desks", "welcome")
        self.verdict.counts |= {
            "desks: pushes": len(self._lines("desks", "push")),
            "desks: welcomes": len(welcomes),
            "desks: resumed": sum(line["resumed"] for line in welcomes),
            "desks: told of open offers": checker.compare_welcomes(),
        }

    def _same(self, seq: int, event: Json, agent: str) -> None:
        truth = self._checker.events.get(seq)
        names = ("type", "at_us", "contact", "reservation", "agent", "message")
        if truth is None or any(truth.get(name) != event.get(name) for name in names):
            self.verdict.find(
                "sequence numbers with two meanings",
                f"{seq}: the desk of {agent} was shown {event}, at the end it is {truth}",
            )

    def _effects(self) -> None:
        """Each effect at most once, none by a deposed owner, none without a committed reason."""
        effects = self._lines("backend", "effect")
        highest = 0
        done: Counter[str] = Counter()
        for line in sorted(effects, key=lambda line: line["t"]):
            if line["done"]:
                done[line["id"]] += 1
                if line["epoch"] < highest:
                    self.verdict.find(
                        "effects of a deposed owner",
                        f"{line['id']} of epoch {line['epoch']} after {highest}",
                    )
                if line["type"] == "DeliverMessage" and line["message"] not in self._sent:
                    self.verdict.find(
                        "effects without a committed reason",
                        f"{line['id']}: message {line['message']} is not on the stream",
                    )
            highest = max(highest, line["epoch"])
        for id_, times in done.items():
            if times > 1:
                self.verdict.find("effects carried out twice", f"{id_}: {times} times")
        for message in (line["message"] for line in effects if line["done"] and line["message"]):
            self._checker.performed(message)
        self.verdict.counts |= {
            "effects carried out": len(done),
            "effects refused for their epoch": sum(line["late"] for line in effects),
            "effects said again": sum(line["again"] for line in effects),
        }

    def _ends(self) -> None:
        checker = self._checker
        for contact in list(checker.live):
            self.verdict.find("contacts that never end", contact)
        for reservation in list(checker.holds):
            self.verdict.find("reservations that never end", reservation)
        self.verdict.counts["contacts closed"] = len(checker.closed)

    # --- times ----------------------------------------------------------------------------------

    def _times(self) -> None:
        moments = sorted(
            line["t"]
            for log in ("customers", "desks", "backend")
            for line in self._lines(log, "ack", "ok")
        )
        faults: dict[int, Fault] = {}
        for line in self._lines("lab", "fault"):
            number = line["number"]
            if line["phase"] == "begin":
                faults[number] = Fault(number, line["name"], line["where"], line["t"])
            elif line["phase"] == "over":
                faults[number].over, faults[number].where = line["t"], line["where"]
            else:
                faults[number].settled = line["t"]
        owners = self._lines("lab", "owner")
        for fault in faults.values():
            end = fault.settled or fault.over or fault.begin
            fault.takeover_s = next(
                (
                    round(line["t"] - fault.begin, 2)
                    for line in owners
                    if fault.begin < line["t"] <= end
                ),
                None,
            )
        for before, after in itertools.pairwise(moments):
            caused = [f for f in faults.values() if f.begin <= after and before <= f.settled]
            if caused:
                latest = caused[-1]
                latest.silence_s = max(latest.silence_s, round(after - before, 2))
        self.verdict.faults = list(faults.values())
        pauses = [b - a for a, b in itertools.pairwise(moments)]
        self.verdict.counts["longest silence (ms)"] = round(1000 * max(pauses, default=0))


KINDS = (
    ("is there 0 times", "acknowledged and lost"),
    ("is there", "messages doubled"),
    ("acknowledged as", "acknowledged and lost"),
    ("was told it is theirs", "acknowledged and lost"),
    ("two meanings", "sequence numbers with two meanings"),
    ("was shown", "sequence numbers with two meanings"),
    ("accepted by", "contacts accepted twice"),
    ("units", "agents over capacity"),
    ("of channel", "agents over capacity"),
    ("to be delivered", "effects carried out twice"),
    ("became", "one matter, two contacts"),
)


def kind_of(text: str) -> str:
    """Which promise a finding of the checker breaks."""
    return next((kind for words, kind in KINDS if words in text), "the stream contradicts itself")


def in_words(verdict: Verdict) -> str:
    """The report that people read."""
    lines = [f"{name}: {count:,}" for name, count in verdict.counts.items()]
    lines.append("")
    if verdict.faults:
        lines.append(f"{'fault':<34} {'silence':>8} {'takeover':>9} {'healed after':>13}  where")
    for fault in verdict.faults:
        takeover = "" if fault.takeover_s is None else f"{fault.takeover_s:.1f} s"
        settled = f"{fault.settled - fault.over:.1f} s" if fault.settled else "never"
        lines.append(
            f"{fault.number:>3} {fault.name:<30} {fault.silence_s:>6.1f} s {takeover:>9} "
            f"{settled:>13}  {', '.join(fault.where)}"
        )
    lines.append("")
    for kind, texts in verdict.findings.items():
        lines.append(f"BROKEN: {kind}: {len(texts)}")
        lines += [f"    {text:.400}" for text in texts[:SHOWN]]
    lines.append(f"{verdict.broken()} promises broken")
    return "\n".join(lines)


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "broken": verdict.broken(),
        "findings": {kind: texts[:SHOWN] for kind, texts in verdict.findings.items()},
        "found": {kind: len(texts) for kind, texts in verdict.findings.items()},
        "counts": verdict.counts,
        "faults": [vars(fault) for fault in verdict.faults],
    }


def audit(directory: Path) -> Verdict:
    """Judge the run in this directory and write the reports into it."""
    verdict = Auditor(directory).judge()
    (directory / "report.json").write_text(json.dumps(as_json(verdict), indent=1) + "\n")
    (directory / "report.txt").write_text(in_words(verdict) + "\n")
    return verdict


if __name__ == "__main__":
    found = audit(Path(sys.argv[1]))
    print(in_words(found))
    sys.exit(1 if found.broken() else 0)
