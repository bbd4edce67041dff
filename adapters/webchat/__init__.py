"""Chat with the visitors of a web site: the adapter behind `router/web/widget.js`.

The visitor's page opens ``/v1/webchat/{name}/ws`` and speaks JSON:

    from the visitor                          from us
    {type: hello, key, token, name,    ->     {type: welcome, token, state, messages, position,
     identity}                                 wait_s, ask, files, file_bytes, file_types}
    {type: say, id, text, files}       ->     {type: message, id, who: visitor, text, at_ms}: it is
                                               durable; or {type: refused, id, code, text,
                                               retry_after_s}
    {type: choose, name, value}               {type: message, id, who: agent | router, ...}
    {type: typing}                            {type: place, position, wait_s, text}
    {type: end}                               {type: ask, name, prompt, choices},
                                              {type: answered, name}, {type: hold, held}
                                              {type: joined}, {type: typing}: the agent types
                                              {type: ended}, {type: token, token}
                                              {type: error, code, text}

- A contact begins with the first message, not when the page opens.
- The *token* makes a reload (another page, another tab) the same visitor, the same contact and the
  same history. It is signed (HMAC-SHA256, RFC 2104) and given to the page; no cookie is set.
- The *key* tells the site apart and is public; what keeps other sites out is the list of allowed
  origins (RFC 6454), which browsers do not let a page forge.
- Messages are at most 4 KiB of UTF-8 and, after a short burst, one a second for each visitor.
  An id said twice is one message: the widget says again what was not confirmed.
- Files are off unless `files` is set. The page uploads one (`uploads.py`), is answered an id that
  holds for a quarter of an hour in this conversation, and names it in its next ``say``.
- Nothing a visitor sends becomes an attribute that rules see. What the site's own server has signed
  (`identity.py`) does, and makes the visitor the same customer on every device.
- A visitor who waits and whose last page is gone for `away_s` has left. Once somebody has written
  to them, the router's own parking decides.

- After a restart of the server open contacts are known again from `Router.open`, and what was said
  from `Router.history`, when the visitor's page is back.
"""

from __future__ import annotations

from adapters.webchat.channel import WebChat
from adapters.webchat.settings import Settings
from adapters.webchat.visits import routes

__all__ = ["CHANNEL", "SETTINGS", "Settings", "WebChat", "routes"]

CHANNEL = WebChat
SETTINGS = Settings
