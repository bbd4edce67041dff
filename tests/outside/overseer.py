"""Folds the event stream of a server and says who waits although somebody free could serve them.

Shares no code with the router: eligibility is written down once more, from its description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.checker import OVER, STATE, Json

SECOND_US = 1_000_000
FOR_EVER_US = 1 << 60
SLACK_US = 700_000
"""What depends on a moment counts only when it has been so for as long as this."""


@dataclass
class Settings:
    """What the configuration said, as far as eligibility hangs on it."""

    channels: dict[str, Json]
    """``cost``, ``maximum``, ``interrupts``"""
    profiles: dict[str, dict[str, int]]
    """Queue to delay in µs."""
    queues: tuple[str, ...]
    capacity: int = 100


@dataclass
class Contact:
    """A live contact."""

    id: str
    channel: str
    consult_of: str
    state: str = "received"
    queue: str = ""
    requirements: dict[str, int] = field(default_factory=dict)
    hold: str = ""
    hold_until_us: int = 0
    target: str = ""
    excluded: dict[str, int] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    visit_at_us: int = 0
    tier: int = 0
    due_at_us: int = 0
    head_start_us: int = 0
    arrival_no: int = 0

    @property
    def key(self) -> tuple[int, int, int]:
        """Smaller is served first."""
        return (self.tier, self.due_at_us - self.head_start_us, self.arrival_no)


@dataclass
class Hold:
    """An agent's capacity held for a contact."""

    id: str
    contact: str
    agent: str
    channel: str
    units: int
    state: str = "offered"


@dataclass
class Agent:
    """As last put and as present."""

    id: str
    presence: str = "offline"
    lost: bool = False
    skills: dict[str, int] = field(default_factory=dict)
    profile: str = ""
    capacity: int = 0
    maximum: dict[str, int] = field(default_factory=dict)


class Overseer:
    """The state as the stream tells it, and what is wrong with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.coming: list[Settings] = []
        """In force from the next `PolicyApplied` on."""
        self.seq = 0
        self.wrong: list[str] = []
        self.contacts: dict[str, Contact] = {}
        self.closed: dict[str, str] = {}
        self.holds: dict[str, Hold] = {}
        self.agents: dict[str, Agent] = {}
        self.paused: set[str] = set()
        self.asked: dict[str, str] = {}
        """Contact to its open consult."""

    # --- the stream ---------------------------------------------------------------------------

    def event(self, seq: int, event: Json) -> None:
        """The next event."""
        if seq != self.seq + 1:
            self.wrong.append(f"the stream jumps from {self.seq} to {seq}")
        self.seq = seq
        kind = event["type"]
        if kind == "ContactReceived":
            contact = Contact(event["contact"], event["channel"], event.get("consult_of", ""))
            contact.queue = event.get("queue", "")
            self.contacts[contact.id] = contact
        elif kind.startswith(("Contact", "Requirements", "HoldEnded", "CoolDown", "Consult")):
            self._contact(seq, kind, event)
        elif kind.startswith(("Agent", "Presence")):
            self._agent(kind, event)
        elif kind in {"ChannelPaused", "ChannelResumed"}:
            change = self.paused.add if kind == "ChannelPaused" else self.paused.discard
            change(event["channel"])
        elif kind == "PolicyApplied" and self.coming:
            self.settings = self.coming.pop(0)
        if kind in OVER or kind in STATE or kind == "ReservationMoved":
            self._reservation(seq, kind, event)

    def _contact(self, seq: int, kind: str, event: Json) -> None:
        contact = self.contacts.get(event["contact"])
        if contact is None:
            self.wrong.append(f"{seq}: {kind} of {event['contact']}, which is not live")
            return
        match kind:
            case "ContactQueued":
                self._queued(contact, event)
            case "ContactReturned":
                contact.state = "queued"
                contact.head_start_us = event.get("head_start_us", 0)
                if contact.hold_until_us <= event["at_us"]:
                    contact.hold = ""
            case "ContactOverflowed" | "ContactSwitched":
                self._moved(contact, event)
            case "ContactRelaxed":
                contact.requirements = dict(event.get("requirements", []))
                contact.extra = list(event.get("extra_queues", []))
                contact.tier = event.get("tier", 0)
                contact.head_start_us = event.get("head_start_us", 0)
            case "ContactReprioritized":
                contact.tier = event.get("tier", 0)
                contact.head_start_us = event.get("head_start_us", 0)
            case "RequirementsChanged":
                contact.requirements = dict(event.get("requirements", []))
            case "HoldEnded":
                contact.hold = contact.target = ""
            case "CoolDownEnded":
                contact.excluded.pop(event["agent"], None)
            case "ContactScheduled" | "ContactParked":
                contact.state = "scheduled" if kind == "ContactScheduled" else "parked"
            case "ContactOffered":
                self._offered(seq, contact, event)
            case "ConsultStarted":
                self.asked[contact.id] = event["consult"]
            case "ConsultEnded":
                self.asked.pop(contact.id, None)
            case "ContactClosed":
                self._closed(seq, contact, event)

    @staticmethod
    def _queued(contact: Contact, event: Json) -> None:
        contact.state, contact.queue = "queued", event["queue"]
        contact.requirements = dict(event.get("requirements", []))
        contact.hold, contact.hold_until_us = (
            event.get("hold_agent", ""),
            event.get("hold_until_us", 0),
        )
        contact.target = event.get("target_agent", "")
        given_by = event.get("not_agent", "")
        contact.excluded = {given_by: FOR_EVER_US} if given_by else {}
        contact.extra, contact.visit_at_us = [], event["visit_at_us"]
        contact.tier, contact.due_at_us = event.get("tier", 0), event["due_at_us"]
        contact.head_start_us = event.get("head_start_us", 0)
        contact.arrival_no = event["arrival_no"]

    def _moved(self, contact: Contact, event: Json) -> None:
        contact.channel = event.get("channel", contact.channel)
        contact.tier, contact.due_at_us = event.get("tier", 0), event["due_at_us"]
        contact.head_start_us = event.get("head_start_us", 0)
        if event["queue"] != contact.queue:
            contact.queue, contact.extra = event["queue"], []
            contact.requirements = dict(event.get("requirements") or [])
            contact.hold = contact.target = ""
        for hold in self._of(contact.id):
            if hold.state != "wrapping":
                hold.channel = contact.channel
                hold.units = self.settings.channels[contact.channel]["cost"]

    def _offered(self, seq: int, contact: Contact, event: Json) -> None:
        agent = self.agents[event["agent"]]
        channel = event["channel"]
        if contact.state not in {"queued", "offered"}:
            self.wrong.append(f"{seq}: {contact.id} is offered and {contact.state}")
        if agent.presence != "ready" or agent.lost:
            self.wrong.append(f"{seq}: {agent.id} is offered something and {agent.presence}")
        if channel in self.paused and event["decision"]["edge"] != "pull":
            self.wrong.append(f"{seq}: {channel} is paused, and {contact.id} offered")
        contact.state = "offered"
        made = Hold(event["reservation"], contact.id, agent.id, channel, event["units"])
        self.holds[made.id] = made
        load = sum(hold.units for hold in self._held(agent.id))
        if load > self._capacity(agent):
            self.wrong.append(f"{seq}: {agent.id} holds {load} of {self._capacity(agent)}")
        same = sum(hold.channel == channel for hold in self._held(agent.id))
        if same > self._most(agent, channel):
            self.wrong.append(f"{seq}: {agent.id} has {same} of {channel}")

    def _closed(self, seq: int, contact: Contact, event: Json) -> None:
        for hold in self._of(contact.id):
            if hold.state != "wrapping":
                self.wrong.append(f"{seq}: {contact.id} is closed, {hold.id} {hold.state}")
        self.asked.pop(contact.id, None)
        self.asked.pop(contact.consult_of, None)
        self.closed[contact.id] = event["outcome"]
        del self.contacts[contact.id]

    def _reservation(self, seq: int, kind: str, event: Json) -> None:
        hold = self.holds.get(event["reservation"])
        if hold is None:
            self.wrong.append(f"{seq}: {kind} of {event['reservation']}, which is not open")
            return
        contact = self.contacts.get(hold.contact)
        if kind == "ReservationMoved":
            hold.contact = event["contact"]
        elif kind in OVER:
            del self.holds[hold.id]
            until_us = event.get("until_us", 0)
            if contact is not None and until_us > event["at_us"]:
                contact.excluded[hold.agent] = until_us
        else:
            hold.state = STATE[kind]
            if kind == "OfferAccepted" and contact is not None:
                contact.state = "active"
            elif kind == "ReservationSuspended":
                hold.units = 0
            elif kind == "ReservationResumed":
                hold.units = event["units"]

    def _agent(self, kind: str, event: Json) -> None:
        agent = self.agents.setdefault(event["agent"], Agent(event["agent"]))
        match kind:
            case "AgentPut":
                agent.skills, agent.profile = event.get("skills", {}), event.get("profile", "")
                agent.capacity = event.get("capacity", 0)
                agent.maximum = event.get("maximum", {})
            case "AgentRemoved":
                del self.agents[agent.id]
            case "PresenceChanged":
                agent.presence = event["presence"]
            case "AgentLost" | "AgentBack":
                agent.lost = kind == "AgentLost"

    # --- who could serve whom -----------------------------------------------------------------

    def overlooked(self, now_us: int) -> list[tuple[Contact, Agent]]:
        """Contacts that wait, with somebody free who could serve them."""
        return [
            (contact, agent)
            for contact in self.contacts.values()
            if contact.state == "queued"
            for agent in self.agents.values()
            if self._may(agent, contact, now_us) and self._has_room(agent, contact.channel)
        ]

    def _may(self, agent: Agent, contact: Contact, now_us: int) -> bool:
        if agent.presence != "ready" or agent.lost or contact.channel in self.paused:
            return False
        if agent.id in contact.excluded:
            return contact.excluded[agent.id] + SLACK_US < now_us
        if contact.target:
            return contact.target == agent.id
        if contact.hold not in {"", agent.id} and contact.hold_until_us + SLACK_US > now_us:
            return False
        if contact.queue not in self.settings.queues:
            return False  # removed: it drains by settings that are not told here
        if any(agent.skills.get(s, 0) < level for s, level in contact.requirements.items()):
            return False
        waited_us = now_us - contact.visit_at_us
        served = self.settings.profiles.get(agent.profile, {})
        return any(
            waited_us >= (delay_us + SLACK_US if delay_us else 0)
            for queue, delay_us in served.items()
            if queue == contact.queue or queue in contact.extra
        )

    def _has_room(self, agent: Agent, channel: str) -> bool:
        mine = list(self._held(agent.id))
        if sum(hold.channel == channel for hold in mine) >= self._most(agent, channel):
            return False
        settings = self.settings.channels[channel]
        free = self._capacity(agent) - sum(hold.units for hold in mine)
        gives_way = sum(
            hold.units
            for hold in mine
            if hold.state == "connected" and hold.channel in settings["interrupts"]
        )
        return bool(settings["cost"] <= free + gives_way)

    def _capacity(self, agent: Agent) -> int:
        return agent.capacity or self.settings.capacity

    def _most(self, agent: Agent, channel: str) -> int:
        return int(agent.maximum.get(channel, self.settings.channels[channel]["maximum"]))

    def _held(self, agent: str) -> Iterator[Hold]:
        return (hold for hold in self.holds.values() if hold.agent == agent)

    def _of(self, contact: str) -> Iterator[Hold]:
        return (hold for hold in self.holds.values() if hold.contact == contact)

    # --- against what the server lists --------------------------------------------------------

    def compare(self, contacts: list[Json], reservations: list[Json], agents: list[Json]) -> None:
        """What is listed and what the stream says, of one moment."""
        listed = {
            one["id"]: (one["state"], one.get("queue", ""), one["channel"]) for one in contacts
        }
        told = {id_: (one.state, one.queue, one.channel) for id_, one in self.contacts.items()}
        self._differ("contacts", listed, told)
        waiting = [one for one in contacts if one["state"] == "queued"]
        asked = {one["id"]: one.get("requirements", {}) for one in waiting}
        mine = {one.id: one.requirements for one in self.contacts.values() if one.id in asked}
        self._differ("requirements", asked, mine)
        self._differ(
            "reservations",
            {one["id"]: (one["state"], one.get("units", 0), one["agent"]) for one in reservations},
            {one.id: (one.state, one.units, one.agent) for one in self.holds.values()},
        )
        self._differ(
            "agents",
            {one["id"]: (one["presence"], one.get("load", 0)) for one in agents},
            {
                one.id: (one.presence, sum(hold.units for hold in self._held(one.id)))
                for one in self.agents.values()
            },
        )

    def _differ(self, what: str, listed: Json, told: Json) -> None:
        for id_ in listed.keys() | told.keys():
            if listed.get(id_) != told.get(id_):
                self.wrong.append(
                    f"{self.seq}: {what}: {id_} is listed as {listed.get(id_)},"
                    f" the stream says {told.get(id_)}"
                )

    def position(self, id_: str) -> int:
        """Where a waiting contact stands in its queue and channel."""
        mine = self.contacts[id_]
        return 1 + sum(
            other.state == "queued"
            and (other.queue, other.channel) == (mine.queue, mine.channel)
            and other.key < mine.key
            for other in self.contacts.values()
        )
