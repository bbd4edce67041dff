"""What callers send: one record per body. Unknown fields are refused; bounds stand in the types.

Lengths and moments are microseconds, as everywhere inside (`…_us`, `…_at_us`).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from router.core.model import Direction, MonitorMode, Presence

Id = Annotated[str, Meta(min_length=1, max_length=200)]
OptionalId = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(min_length=1, max_length=65_536)]
Level = Annotated[int, Meta(ge=1, le=10)]
Skills = Annotated[dict[Id, Level], Meta(max_length=200)]
Moment = Annotated[int, Meta(ge=0, le=1 << 53)]
Length = Annotated[int, Meta(ge=0, le=366 * 86_400_000_000)]
Signed = Annotated[int, Meta(ge=-366 * 86_400_000_000, le=366 * 86_400_000_000)]
Tier = Annotated[int, Meta(ge=-1000, le=1000)]
Attributes = Annotated[dict[Annotated[str, Meta(max_length=100)], Any], Meta(max_length=64)]


class Body(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """Something a caller sends."""


class PeerBody(Body):
    """Who is at the other end. Personal data: sealed before it is stored."""

    address: OptionalId = ""
    """E.164 number, mailbox, handle or visitor id."""
    name: Name = ""
    to: OptionalId = ""
    """Our address that was reached."""


class MessageBody(Body):
    """A message to begin with."""

    text: Text
    id: OptionalId = ""
    """The sender's id: the same one twice is the same message."""
    subject: Annotated[str, Meta(max_length=1000)] = ""


class SubmitBody(Body):
    """A contact to be routed."""

    channel: Id
    direction: Direction = Direction.INBOUND
    entry_point: OptionalId = ""
    """Its queue, attributes and requirements apply; or found by `peer.to`."""
    queue: OptionalId = ""
    """Instead of the entry point's."""
    peer: PeerBody = msgspec.field(default_factory=PeerBody)
    customer: OptionalId = ""
    segment: OptionalId = ""
    attributes: Attributes = {}
    requirements: Skills = {}
    tier: Tier | None = None
    head_start_us: Signed = 0
    not_before_us: Moment = 0
    not_after_us: Moment = 0
    external_id: OptionalId = ""
    """Your id: unique on the channel; the same one twice is the same contact."""
    conversation: OptionalId = ""
    prefer_agent: OptionalId = ""
    prefer_us: Length = 0
    target_agent: OptionalId = ""
    watched: bool = False
    message: MessageBody | None = None


class EvaluateBody(SubmitBody):
    """A contact that does not arrive, or a live one by its id alone."""

    channel: OptionalId = ""
    contact: OptionalId = ""
    """The id of a live one; nothing else then."""


class TryRuleBody(Body):
    """A rule that is tried on the contacts that came in."""

    rule: Annotated[str, Meta(min_length=1, max_length=16_384)]
    """YAML, as under ``rules:`` in the configuration."""
    before: OptionalId = ""
    """It stands before this rule; neither: at the end."""
    instead_of: OptionalId = ""
    """It stands in place of this rule."""
    since_us: Moment = 0
    """0: since today began, in the time zone of most queues."""


class BatchBody(Body):
    """Many contacts in one go; each is answered by itself."""

    contacts: Annotated[list[SubmitBody], Meta(min_length=1, max_length=512)]


class SendBody(Body):
    """We write to the customer."""

    text: Text
    message: Annotated[str, Meta(pattern="^(m[A-Za-z0-9]{8,40})?$")] = ""
    """An id of the caller's making, so that sending again is safe."""


class MessagePostBody(Body):
    """A message to or from the customer."""

    text: Text
    direction: Annotated[str, Meta(pattern="^(to_customer|from_customer)$")] = "to_customer"
    message: Annotated[str, Meta(pattern="^(m[A-Za-z0-9]{8,40})?$")] = ""
    """`to_customer`: an id of the caller's making, so that sending again is safe."""
    id: OptionalId = ""
    """`from_customer`: the sender's id for it; needed."""
    subject: Annotated[str, Meta(max_length=1000)] = ""


class EmptyBody(Body):
    """Nothing to say."""


class ReasonBody(Body):
    """Why."""

    reason: Reason = ""


class FailBody(Body):
    """A media leg that did not come up."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    busy: bool = False
    """The agent's endpoint is at fault: counts as a decline."""


class CompleteBody(Body):
    """The matter is done."""

    reason: Reason = ""
    disposition: OptionalId = ""


class TransferBody(Body):
    """To a queue, an agent, or new requirements in a queue."""

    queue: OptionalId = ""
    target_agent: OptionalId = ""
    requirements: Skills | None = None
    reason: Reason = ""


class ConsultBody(Body):
    """Whom to ask."""

    queue: OptionalId = ""
    target_agent: OptionalId = ""
    requirements: Skills = {}


class EndConsultBody(Body):
    """How the consult ends."""

    hand_over: bool = False


class ConferenceBody(Body):
    """All three together, or apart again."""

    together: bool = True


class RecordBody(Body):
    """Recorded from now on, or not."""

    on: bool = True


class MonitorBody(Body):
    """Who listens, and who hears them."""

    agent: OptionalId = ""
    """Whose endpoint is rung; needed to begin."""
    mode: MonitorMode = "listen"
    monitor: OptionalId = ""
    """To change the mode of this one."""


class StopMonitorBody(Body):
    """Which one, and why."""

    monitor: Id
    reason: Reason = ""


class RecordingEndedBody(Body):
    """Which recording the backend does not make (any more), and why."""

    recording: Id
    reason: Reason = ""


class FinishBody(Body):
    """After-contact work is done."""

    disposition: OptionalId = ""


class ExtendBody(Body):
    """More time."""

    by_us: Annotated[int, Meta(gt=0, le=86_400_000_000)]


class UpdateBody(Body):
    """Attributes are merged; a null removes one."""

    attributes: Attributes = {}
    customer: OptionalId = ""
    segment: OptionalId = ""
    version: Annotated[int, Meta(ge=-1)] = -1
    """Refused unless the contact has this version (as If-Match); -1 = not asked."""


class SwitchBody(Body):
    """Go on by another channel."""

    channel: Id
    address: OptionalId = ""
    queue: OptionalId = ""
    external_id: OptionalId = ""


class CallbackBody(Body):
    """When and where to call back."""

    channel: Id = "voice"
    address: OptionalId = ""
    """Empty: where the customer is now."""
    not_before_us: Moment = 0
    not_after_us: Moment = 0
    keep_place: bool = True


class RescheduleBody(Body):
    """The new window."""

    not_before_us: Moment
    not_after_us: Moment = 0


class WatchBody(Body):
    """Before the supervisor, or not."""

    watched: bool = True


class PullBody(Body):
    """Who takes it; an agent's own token: themselves."""

    agent: OptionalId = ""


class MoveBody(Body):
    """The other queue."""

    queue: Id


class ReprioritizeBody(Body):
    """What changes of the key."""

    tier: Tier | None = None
    head_start_us: Signed | None = None


class RequireBody(Body):
    """What it asks of its agent from now on."""

    requirements: Skills


class CollectBody(Body):
    """Play a prompt, collect an answer."""

    name: Id
    prompt: Annotated[str, Meta(min_length=1, max_length=4000)]
    choices: Annotated[dict[Annotated[str, Meta(max_length=20)], Name], Meta(max_length=20)] = {}
    digits: Annotated[int, Meta(ge=1, le=40)] = 1
    timeout_us: Annotated[int, Meta(ge=1_000_000, le=300_000_000)] = 10_000_000


class InputBody(Body):
    """What play-and-collect got."""

    name: Id
    value: Annotated[str, Meta(max_length=1000)] = ""
    ask: OptionalId = ""
    """Id of the question, from its `InputAsked`; empty: the open one of this name."""
    timed_out: bool = False
    """The customer did not answer in time."""


class AgentBody(Body):
    """An agent's settings, whole."""

    name: Name = ""
    skills: Skills = {}
    profile: OptionalId = ""
    capacity: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """0 = the workspace's default."""
    maximum: Annotated[dict[Id, Annotated[int, Meta(ge=0, le=1000)]], Meta(max_length=50)] = {}
    endpoints: Annotated[dict[Id, OptionalId], Meta(max_length=50)] = {}
    auto_accept: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()


class PresenceBody(Body):
    """As declared."""

    presence: Presence
    reason: OptionalId = ""


class PreviewBody(Body):
    """Whom would a contact like this reach?"""

    channel: Id
    requirements: Skills = {}


class RouteBody(Body):
    """Where should this go, what is the wait?"""

    request: Id
    channel: Id
    entry_point: OptionalId = ""
    to: OptionalId = ""
    queue: OptionalId = ""
    requirements: Skills = {}
    attributes: Attributes = {}
    customer: OptionalId = ""
    """Whose matter it is; or told by `address`."""
    address: OptionalId = ""
    """The customer's address on this channel. Not stored."""
    segment: OptionalId = ""


class TokenBody(Body):
    """A token to make."""

    role: Annotated[str, Meta(pattern="^(admin|supervisor|agent|adapter|client|metrics)$")]
    name: OptionalId = ""
    use: Annotated[str, Meta(pattern="^(token|ticket)$")] = "token"
    """`ticket`: for a signed-in link; exchanged for a session."""
    agent: OptionalId = ""
    channel: OptionalId = ""
    once: bool = True
    """A ticket: used up by its exchange."""
    expires_in_s: Annotated[int, Meta(ge=0, le=10 * 366 * 86_400)] = 0
    """0 = never (a ticket: 30 s)."""


class SessionBody(Body):
    """The ticket of a signed-in link."""

    ticket: Annotated[str, Meta(max_length=200)]


class PasswordBody(Body):
    """A name and a password."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Annotated[str, Meta(min_length=1, max_length=200)]
    workspace: Annotated[str, Meta(max_length=200)] = ""
    """Only needed where several workspaces have this name."""


class LoginBody(Body):
    """Who a name is, and its new password."""

    password: Annotated[str, Meta(min_length=10, max_length=200)]
    role: Annotated[str, Meta(pattern="^(admin|supervisor|agent)$")]
    agent: Annotated[str, Meta(max_length=200)] = ""
    """For role agent: who they are."""


class CheckBody(Body):
    """A configuration to be checked, not applied."""

    text: Annotated[str, Meta(min_length=1, max_length=1_000_000)]


class HelloBody(Body):
    """The first frame of a socket."""

    type: Annotated[str, Meta(pattern="^hello$")]
    token: Annotated[str, Meta(max_length=200)]
    mode: Annotated[str, Meta(pattern="^(agent|supervisor)?$")] = ""
    resume: Annotated[str, Meta(max_length=200)] = ""
    epoch: Annotated[int, Meta(ge=0)] = 0
    last_seq: Annotated[int, Meta(ge=0)] = 0
    answers: bool = False
    moves: bool = False
    """Told where the workspace is served, instead of being passed on to it (docs/nodes.md)."""
