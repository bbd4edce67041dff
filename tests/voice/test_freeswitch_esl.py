"""The event socket codec, on what a real FreeSWITCH sent, cut at every byte; and what goes out."""

from __future__ import annotations

import pytest

from adapters.freeswitch.esl import (
    BODY_MOST,
    HEAD_MOST,
    Decoder,
    Frame,
    ProtocolError,
    Unsafe,
    api,
    bgapi,
    channel_id,
    channels_of,
    command,
    decoded,
    event_of,
    execute,
    fields_of,
    quoted,
    variables,
    word,
)
from tests.voice.esl_recordings import NAMES, received

ORIGINATE = {"origination_uuid": "u-1", "cr_contact": "c-1"}


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_byte_by_byte_gives_the_frames_it_gives_at_once(name: str) -> None:
    data = received(name)
    whole = Decoder().feed(data)
    slow = Decoder()
    assert [f for i in range(len(data)) for f in slow.feed(data[i : i + 1])] == whole
    assert slow.held == 0
    assert whole[0].type == "auth/request"
    for frame in whole:
        if frame.type == "text/event-json":
            assert event_of(frame.body).name == fields_of(frame.body)["Event-Name"]


def test_two_pieces_cut_anywhere_give_the_same_frames() -> None:
    data = received("wrong-password") + received("errors")[:6000]
    whole = Decoder().feed(data)
    assert len(whole) > 8
    for cut in range(len(data)):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == whole


def test_a_reply_behind_events_and_a_notice_at_the_end_are_told_apart() -> None:
    frames = Decoder().feed(received("caller-leaves-while-ringing"))
    assert [f.type for f in frames[-2:]] == ["command/reply", "text/disconnect-notice"]
    assert [f.reply for f in frames if not f.is_event][1:3] == [
        "+OK accepted",
        "+OK event listener enabled json",
    ]
    names = [event_of(f.body).name for f in frames if f.type == "text/event-json"]
    assert names.count("BACKGROUND_JOB") == 1
    [job] = [
        event_of(f.body)
        for f in frames
        if f.type == "text/event-json" and event_of(f.body).name == "BACKGROUND_JOB"
    ]
    assert job.body == "-ERR ORIGINATOR_CANCEL\n"
    assert job.job == "25ccf6a2-ed95-49a9-bc62-89e4f3aecf04"


def test_the_list_of_channels_and_a_dump_are_read() -> None:
    frames = [f for f in Decoder().feed(received("socket-lost")) if f.body.startswith(b"{")]
    listed, dump = [f for f in frames if f.type == "api/response"]
    ids = channels_of(listed.body)
    assert len(ids) == 2
    of_caller = event_of(dump.body)
    assert of_caller.uuid in ids
    assert (of_caller.contact, of_caller.state) == ("c-1", "CS_EXECUTE")
    assert channels_of(b'{"row_count":0}') == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n\n\n",
        b"Content-Length: 5\n\nhello",
        b"Content-Type: x\nContent-Length: -1\n\n",
        b"Content-Type: x\nContent-Length: 1e9\n\n",
        f"Content-Type: x\nContent-Length: {BODY_MOST + 1}\n\n".encode(),
        b"Content-Type: x\nContent-Length: \xd9\xa3\n\n",
        b"x" * (HEAD_MOST + 1),
    ],
)
def test_what_is_no_event_socket_is_refused(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(garbage)


def test_an_event_that_is_no_json_is_refused() -> None:
    for body in (b"", b"[1]", b"{"):
        with pytest.raises(ProtocolError):
            event_of(body)
        with pytest.raises(ProtocolError):
            fields_of(body)
    for body in (b"0 total.", b'{"rows": 7}'):
        with pytest.raises(ProtocolError):
            channels_of(body)


def test_a_name_that_is_no_utf_8_hides_neither_its_call_nor_others() -> None:
    body = b'{"Event-Name": "CHANNEL_PARK", "Unique-ID": "a1", "Caller-Caller-ID-Name": "J\xf6rg"}'
    event = event_of(body)
    assert (event.name, event.uuid, event.caller_name) == ("CHANNEL_PARK", "a1", "J\ufffdrg")
    assert fields_of(body)["Caller-Caller-ID-Name"] == "J\ufffdrg"
    assert channels_of(b'{"rows": [{"uuid": "a1", "cid_name": "J\xf6rg"}, {"uuid": "b2"}]}') == [
        "a1",
        "b2",
    ]


def test_the_channel_in_the_reply_to_connect_is_decoded() -> None:
    head = (
        b"Content-Type: command/reply\nReply-Text: %2BOK\nCaller-Caller-ID-Name: J%C3%BCrg%20B\n\n"
    )
    [frame] = Decoder().feed(head)
    assert decoded(frame.headers)["Caller-Caller-ID-Name"] == "Jürg B"
    assert frame == Frame(frame.headers)


def test_an_api_call_that_printed_nothing_was_not_refused() -> None:
    def answer(text: str) -> Frame:
        body = text.encode()
        head = f"Content-Type: api/response\nContent-Length: {len(body)}\n\n".encode()
        return Decoder().feed(head + body)[0]

    assert (answer("-ERR no reply\n").reply, answer("-ERR no reply\n").is_refused) == ("", False)
    assert answer("-ERR No such channel!\n").is_refused
    assert answer("-USAGE: <uuid>\n").is_refused
    assert not answer("+OK\n").is_refused


def test_commands_are_as_they_were_recorded() -> None:
    assert api("status") == b"api status\n\n"
    line = f"originate {variables(ORIGINATE)}sofia/internal/a@127.0.0.1:6060 &park"
    assert bgapi(line, "j-1") == (
        b"bgapi originate {origination_uuid=u-1,cr_contact=c-1}sofia/internal/a@127.0.0.1:6060"
        b" &park\nJob-UUID: j-1\n\n"
    )
    assert execute("u-1", "playback", "x.wav", "e-1") == (
        b"sendmsg u-1\ncall-command: execute\nexecute-app-name: playback\n"
        b"execute-app-arg: x.wav\nevent-uuid: e-1\n\n"
    )


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "x\n\napi fsctl shutdown"])
def test_a_line_break_never_goes_out(text: str) -> None:
    with pytest.raises(Unsafe):
        api(text)
    with pytest.raises(Unsafe):
        command("sendmsg u-1", {"execute-app-arg": text})
    with pytest.raises(Unsafe):
        quoted(text)


@pytest.mark.parametrize(
    "text", ["a b", "a;b", "a|b", "a,b", "a'b", "${x}", "a}b", "a[b", "", "^^:"]
)
def test_syntax_never_stands_in_an_argument(text: str) -> None:
    with pytest.raises(Unsafe):
        word(text)


def test_a_value_with_commas_is_quoted_and_what_cannot_be_quoted_is_refused() -> None:
    assert quoted("plain-1.2") == "plain-1.2"
    assert quoted("Huber, Ana") == "'Huber, Ana'"
    for text in ("it's", "a}b", "${uuid}", "a\\b", "a|b", "a;b"):
        with pytest.raises(Unsafe):
            quoted(text)
    assert variables({"a": "1", "b": "", "c": "x, y"}) == "{a=1,c='x, y'}"
    with pytest.raises(Unsafe):
        variables({"a=1}x": "2"})
    for text in ("", "a b", "../x", "u;1"):
        with pytest.raises(Unsafe):
            channel_id(text)
