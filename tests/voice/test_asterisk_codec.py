"""The codec reads what a real Asterisk told; where legs belong follows from what is known alone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asterisk import ari
from adapters.asterisk.announce import media_of, treatment
from adapters.asterisk.calls import (
    Book,
    Call,
    Leg,
    Monitor,
    Names,
    State,
    dialled,
    moves,
    origin_of,
    places,
)
from adapters.asterisk.settings import Settings
from router.channel import Address, ChannelError, ConnectAgent, Task, TreatContact
from router.core.model import AgentId, ContactId, ReservationId

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings" / "ari"
RECORDED = [
    json.loads(line) for path in RECORDINGS.glob("*.jsonl") for line in path.read_text().split("\n")
    if line
]  # fmt: skip
NAMES = Names("contact-router")


def events() -> list[dict[str, object]]:
    return [line["event"] for line in RECORDED if line["dir"] == "event"]


def test_each_recorded_event_is_read_with_what_matters_in_it() -> None:
    assert len(events()) > 500
    for recorded in events():
        event = ari.event_of(json.dumps(recorded))
        assert event.type == recorded["type"]
        told = recorded.get("channel") or recorded.get("peer") or {}
        read = event.channel or event.peer
        assert isinstance(told, dict)
        if told:
            assert read is not None
            assert (read.id, read.state) == (told["id"], told["state"])
            assert read.caller.number == told["caller"]["number"]
        assert event.cause == recorded.get("cause", 0)
        assert event.soft == recorded.get("soft", False)
        assert event.dialstatus == recorded.get("dialstatus", "")
        assert event.digit == recorded.get("digit", "")


def test_recorded_lists_of_channels_and_bridges_are_read() -> None:
    lists = [x["body"] for x in RECORDED if x["dir"] == "response" and isinstance(x["body"], list)]
    assert lists
    for body in lists:
        text = json.dumps(body).encode()
        found = ari.channels_of(text) if "caller" in body[0] else ari.bridges_of(text)
        assert [one.id for one in found] == [one["id"] for one in body]


@given(st.binary(max_size=60))
def test_whatever_comes_is_an_event_or_garbage(data: bytes) -> None:
    with suppress(ari.Garbage):
        assert ari.event_of(data).type is not None


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_an_event_cut_anywhere_is_garbage(at: int) -> None:
    text = json.dumps(events()[0])
    with pytest.raises(ari.Garbage):
        ari.event_of(text[:at])


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1), max_size=6))
def test_arguments_come_back_as_they_went(words: list[str]) -> None:
    joined = ari.arguments(*words)
    assert ari.words_of(joined.split(",") if words else []) == words


@given(st.characters(max_codepoint=31), st.sampled_from(["endpoint", "id", "variable", "media"]))
def test_no_control_character_leaves_the_codec(bad: str, where: str) -> None:
    makers = {
        "endpoint": lambda: ari.create_channel(
            "a", f"PJSIP/{bad}", "app", "", originator="", variables={}
        ),
        "id": lambda: ari.hang_up(f"x{bad}"),
        "variable": lambda: ari.set_variable("a", "CR_CONTACT", bad),
        "media": lambda: ari.play("a", f"sound:{bad}", "p"),
    }
    with pytest.raises(ChannelError, match="control characters"):
        makers[where]()


def test_ids_cannot_leave_their_place_in_a_path() -> None:
    assert ari.hang_up("a/../bridges/b?x=1#").path == "/channels/a%2F..%2Fbridges%2Fb%3Fx%3D1%23"


def channel(args: str, *, app: str = "contact-router", id_: str = "ast-1") -> ari.Channel:
    data = f"{app},{args}" if args else app
    return ari.Channel(id=id_, dialplan=ari.Dialplan("+4930", "Stasis", data))


def test_a_channel_says_what_it_was_made_for() -> None:
    leg = origin_of(channel("agent,c%2C1,r1,ast-7,3"), "contact-router")
    assert leg is not None
    assert (leg.kind, leg.words) == ("agent", ("c,1", "r1", "ast-7", "3"))
    caller = origin_of(channel("inbound,+4930"), "contact-router")
    assert caller is not None
    assert (caller.kind, caller.words) == ("customer", ())
    assert origin_of(channel("", app="another"), "contact-router") is None
    assert origin_of(ari.Channel(id="x"), "contact-router") is None


def test_the_number_that_was_dialled_is_the_argument_or_the_extension() -> None:
    assert dialled(channel(""), ["inbound", "+4930555"]) == "+4930555"
    assert dialled(channel(""), []) == "+4930"


# -- where legs belong -----------------------------------------------------------------------------


def leg(call: Call, book: Book, kind: str, reservation: str = "", contact: str = "c1") -> Leg:
    made = Leg(f"{kind}-{reservation}", kind, contact, reservation)  # type: ignore[arg-type]
    made.state = State.UP
    made.is_joined = True
    return book.add(call, made)


@pytest.fixture
def book() -> Book:
    return Book(NAMES)


@pytest.fixture
def call(book: Book) -> Call:
    call = book.begin("ast-1", "c1")
    leg(call, book, "customer")
    return call


def where(call: Call) -> dict[str, str]:
    short = {NAMES.hold: "hold", NAMES.talk(call): "talk", NAMES.listen("m"): "listen"}
    return {one.id.rstrip("-"): short[place] for one, place in places(call, NAMES)}


def test_who_has_nobody_waits(call: Call, book: Book) -> None:
    assert where(call) == {"customer": "hold"}
    ringing = leg(call, book, "agent", "r1")
    ringing.state = State.RINGING
    assert where(call) == {"customer": "hold"}


def test_who_has_picked_up_is_joined_once_the_router_has_agreed(call: Call, book: Book) -> None:
    agent = leg(call, book, "agent", "r1")
    agent.is_joined = False
    assert where(call) == {"customer": "hold"}
    agent.is_joined = True
    assert where(call) == {"customer": "talk", "agent-r1": "talk"}


def test_on_hold_the_customer_waits_and_the_agent_stays(call: Call, book: Book) -> None:
    leg(call, book, "agent", "r1")
    call.held = True
    assert where(call) == {"customer": "hold", "agent-r1": "talk"}


def test_a_consult_is_between_the_agents_until_there_is_a_conference(
    call: Call, book: Book
) -> None:
    leg(call, book, "agent", "r1")
    leg(call, book, "agent", "r2", "c1-consult")
    call.held = True
    assert where(call) == {"customer": "hold", "agent-r1": "talk", "agent-r2": "talk"}
    call.conference = True
    assert set(where(call).values()) == {"talk"}
    call.conference = call.held = False  # the asking agent has taken the customer back alone
    assert where(call) == {"customer": "talk", "agent-r1": "talk", "agent-r2": "hold"}


def test_who_is_left_of_a_consult_has_the_customer(call: Call, book: Book) -> None:
    asking = leg(call, book, "agent", "r1")
    leg(call, book, "agent", "r2", "c1-consult")
    asking.is_unwanted = True
    assert where(call) == {"customer": "talk", "agent-r2": "talk"}


def test_an_agent_waits_for_a_customer_who_is_being_called(book: Book) -> None:
    call = book.begin(contact="c1")
    leg(call, book, "agent", "r1")
    assert where(call) == {"agent-r1": "hold"}


def test_a_supervisor_hears_a_snoop_channel_or_is_in_the_conversation(
    call: Call, book: Book
) -> None:
    leg(call, book, "agent", "r1")
    supervisor, snoop = leg(call, book, "monitor"), leg(call, book, "snoop")
    call.monitors["m"] = Monitor("m", "r1", "listen", supervisor, snoop)
    assert where(call)["monitor"] == where(call)["snoop"] == "listen"
    call.monitors["m"].mode = "barge"
    assert where(call)["monitor"] == "talk"


def test_who_is_where_they_belong_is_not_moved(call: Call, book: Book) -> None:
    agent = leg(call, book, "agent", "r1")
    assert call.customer is not None
    call.customer.place = agent.place = NAMES.talk(call)
    assert moves(call, NAMES) == {}


def test_a_call_is_found_by_channel_contact_and_consult(call: Call, book: Book) -> None:
    effect = ConnectAgent(channel="voice", contact=ContactId("c1-consult"),
                          reservation=ReservationId("r2"), agent=AgentId("bo"),
                          deadline_at_us=1)  # fmt: skip
    task = Task(id="1-1", epoch=1, workspace="main", effect=effect, external_id="",
                customer=Address(), our_address="", consult_of="ast-1")  # fmt: skip
    assert book.of(task) is call
    assert call.contact == "c1"
    book.drop(call)
    assert book.of(task) is None
    assert len(book) == 0


# -- what is said ----------------------------------------------------------------------------------


def treat(kind: str, text: str = "", position: int = 0, wait_us: int = -1) -> str:
    settings = Settings(url="http://127.0.0.1/ari", user="u", password_file="f",
                        announcements={"Welcome.": "sound:hello,sound:world"})  # fmt: skip
    effect = TreatContact(channel="voice", contact=ContactId("c1"), kind=kind, text=text,
                          position=position, wait_us=wait_us)  # fmt: skip
    return treatment(effect, settings)


def test_texts_positions_and_waits_become_sounds() -> None:
    assert treat("greeting", "Welcome.") == "sound:hello,sound:world"
    assert treat("text", "sound:beep") == "sound:beep"
    assert treat("text", "You are welcome.") == ""
    assert treat("position", "You are number 1.", 1) == "sound:queue-youarenext"
    assert treat("position", "", 3, 61_000_000) == (
        "sound:queue-thereare,number:3,sound:queue-callswaiting,"
        "sound:queue-holdtime,number:2,sound:queue-minutes"
    )


@pytest.mark.parametrize(
    ("text", "played"),
    [
        ("sound:custom/welcome,number:12", "sound:custom/welcome,number:12"),
        ("tone:ring;tonezone=de", "tone:ring;tonezone=de"),
        ("Welcome", "recording:welcome"),  # the configuration may say so
        ("recording:somebody-elses-call", ""),
        ("sound:http://elsewhere.example/x", ""),
        ("sound:a,recording:b", ""),
        ("sound:../../../etc/passwd", ""),
    ],
)
def test_a_text_plays_no_recording_and_fetches_nothing_unless_the_configuration_says_so(
    text: str, played: str
) -> None:
    settings = Settings(
        url="http://127.0.0.1:8088/ari", user="u", password_file="f",
        announcements={"Welcome": "recording:welcome"},
    )  # fmt: skip
    assert media_of(text, settings) == played
