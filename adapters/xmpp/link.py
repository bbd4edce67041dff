"""One connection to the server: the stream by slixmpp, and an echo that tells what it has done."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

from slixmpp import ComponentXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from adapters.xmpp import stanzas
from adapters.xmpp.settings import Settings
from router.channel import ChannelLost

NAMESPACE = "jabber:component:accept"
CLOSE_S = 1.0


class _NoStanzas(logging.Filter):
    """slixmpp quotes what it could not read, above DEBUG: somebody's words."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.DEBUG:
            record.msg, record.args, record.exc_info = f"slixmpp: {record.funcName}", (), None
        return True


_no_stanzas = _NoStanzas()
for _name in ("xmlstream.xmlstream", "xmlstream.stanzabase", "basexmpp", "componentxmpp"):
    logging.getLogger(f"slixmpp.{_name}").addFilter(_no_stanzas)


class Link:
    """A component's stream, from connecting to its end. Used once."""

    def __init__(
        self,
        settings: Settings,
        secret: str,
        on_message: Callable[[stanzas.Said], None],
        on_presence: Callable[[ET.Element], None],
    ) -> None:
        self.jid = settings.jid
        self.lost = asyncio.Event()
        self.why = ""
        """Why it was lost."""
        self._on_message = on_message
        self._echoes: dict[str, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._is_ready = False
        self._settled = asyncio.Event()
        """Connected, or not to be."""
        make: Any = ComponentXMPP  # untyped
        self._xmpp = xmpp = make(settings.jid, secret, settings.host, settings.port)
        for name in ("IM", "IMError", "Presence"):  # slixmpp's own, which know less than ours
            xmpp.remove_handler(name)
        handlers = {"message": self._hear, "presence": on_presence, "iq": self._answer}
        for kind, handler in handlers.items():
            matcher = MatchXPath(f"{{{NAMESPACE}}}{kind}")
            xmpp.register_handler(Callback(f"our {kind}", matcher, _of_xml(handler)))
        xmpp.add_event_handler("session_start", self._begin)
        xmpp.add_event_handler("stream_error", self._stream_error)
        xmpp.add_event_handler("disconnected", lambda _: self.lose("the server has gone"))

    async def open(self, within_s: float) -> None:
        """Connect and shake hands. Raises ChannelLost."""
        self._xmpp.connect()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        if not self._is_ready:
            raise ChannelLost(self.why or "the server cannot be reached")

    async def close(self) -> None:
        """End the stream, in an orderly way if there is one; nothing of it is left."""
        xmpp = self._xmpp
        self.lose("closed")
        attempt: Any = xmpp._current_connection_attempt
        xmpp.cancel_connection_attempt()
        if attempt is not None:  # it may have a socket already that slixmpp has not heard of
            await asyncio.gather(attempt, return_exceptions=True)
        if xmpp.transport is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await xmpp.disconnect(wait=CLOSE_S / 2, ignore_send_queue=True)
            xmpp.abort()
        await asyncio.sleep(0)  # a socket is closed in the loop's next turn
        sender: Any = xmpp._run_out_filters
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def send(self, stanza: str) -> None:
        """Write a stanza. Raises ChannelLost: nothing was written."""
        if self.lost.is_set() or self._xmpp.transport is None:
            raise ChannelLost("not connected")
        self._xmpp.send_raw(stanza)

    async def echo(self, within_s: float) -> None:
        """Until the server has processed all that was written before. Raises ChannelLost."""
        id_ = f"echo-{next(self._numbers)}"
        done = self._echoes[id_] = asyncio.get_running_loop().create_future()
        try:
            self.send(stanzas.echo(self.jid, id_))
            async with asyncio.timeout(within_s):
                await done
        except TimeoutError:
            self.lose("the server does not answer")
            raise ChannelLost(self.why) from None
        finally:
            del self._echoes[id_]

    def lose(self, why: str) -> None:
        """The stream is over: whoever waits for an echo hears of it."""
        if self.lost.is_set():
            return
        self.why = self.why or why
        self.lost.set()
        self._settled.set()
        for waiting in self._echoes.values():
            if not waiting.done():
                waiting.set_exception(ChannelLost(self.why))

    def _begin(self, _: object) -> None:
        self._is_ready = True
        self._settled.set()

    def _hear(self, xml: ET.Element) -> None:
        said = stanzas.read(xml)
        if said.is_echo and said.sender == self.jid:
            waiting = self._echoes.get(said.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        else:
            self._on_message(said)

    def _answer(self, xml: ET.Element) -> None:
        if xml.get("type") == "get":
            answer = stanzas.answer(xml)
            with suppress(ChannelLost):
                self.send(answer or _not_implemented(xml))

    def _stream_error(self, error: Any) -> None:
        # RFC 6120 4.9: the condition; conflict = the component is connected elsewhere.
        self.why = f"stream error: {error['condition']}"


def _of_xml(handler: Callable[[ET.Element], None]) -> Callable[[Any], None]:
    return lambda stanza: handler(stanza.xml)


def _not_implemented(xml: ET.Element) -> str:
    """RFC 6120 8.2.3: a request must be answered."""
    said = stanzas.read(xml)
    refused = stanzas.refusal(said, "cancel", "service-unavailable")
    return refused.replace("<message", "<iq", 1).replace("</message>", "</iq>")
