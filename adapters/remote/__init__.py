"""The in-process half of an adapter that lives elsewhere, in any language, behind a WebSocket.

The API's socket ``/v1/channels/{name}`` attaches to it and moves bytes; their meaning stands here.
Frames are JSON or msgpack maps, by subprotocol. Fields that have their default may be absent.

    from the adapter                                                  answered by
    {type: submit, cid, contact: {external_id, customer, ...}}        {type: answer, cid, receipt}
    {type: message, cid, contact: {..., message: {id, text}}}         {type: answer, cid, receipt}
    {type: left, cid, external_id, reason}                            {type: answer, cid}
    {type: connected, cid, reservation}                               {type: answer, cid}
    {type: failed, cid, reservation, reason, busy}                    {type: answer, cid}
    {type: ended, cid, external_id, reason}                           {type: answer, cid}
    {type: hung_up, cid, reservation, reason}                         {type: answer, cid}
    {type: monitor_ended, cid, monitor, reason}                       {type: answer, cid}
    {type: recording_ended, cid, recording, reason}                   {type: answer, cid}
    {type: collected, cid, external_id, name, value, ask, timed_out}  {type: answer, cid}
    {type: receipt, cid, contact, message, state: delivered | undelivered, detail}
                                                                      {type: answer, cid}
    {type: started, cid, contact, external_id}                        {type: answer, cid}
    {type: route, cid, request: {request, to, queue, ...}}            {type: answer, cid, route}
    {type: live, cid, external_ids}                                   {type: answer, cid}
    {type: open, cid}                                                 {type: answer, cid, open:
                                                                       [[external_id, state], ...]}
    {type: history, cid, external_id, limit}                          {type: answer, cid, lines}
    {type: typing, external_id}                                       nothing
    {type: state, state: up | degraded | down | starting, detail}     nothing
    {type: result, effect, outcome: done | failed | unknown, reason}  nothing
    {type: found, effect, found: true | false | null}                 nothing

    from the router
    {type: welcome, channel, epoch, version}       first; send `live` then, if your contacts can end
                                                   without your seeing it
    {type: perform, id, epoch, effect: {type: OfferContact, ...}, external_id, customer,
     our_address, text, author, attributes, consult_of,
     first_attempt}                                                   answer with `result`
    {type: find, ...the same}                                         answer with `found`
    {type: typing, external_id}                    the agent types: show it for a few seconds
    {type: answer, cid, error: {code, text, retry_after_s}}           the call was not carried out
    {type: error, code, text}                                         a frame nobody understood

They mean what `Router` and `Channel` in `router/channel.py` say. Rules of the connection:

- Calls may be pipelined. Those about one contact (or one reservation) are carried out in order;
  `live` finishes before anything after it begins.
- After ``overloaded``, ``outcome_unknown`` and ``store_full`` send the same call again, later.
- Remember the highest epoch and refuse a lower one (``failed``). Remember the ids of effects: the
  same id again gets the earlier result and is not carried out twice.
- One session at a time: a newer one replaces the older, which is closed with 4001.
- Files do not come this way: ``attachments`` of a message are links (``{url: ...}``), shown to the
  agent as what they are. One that claims to be a file of the router's is refused (``attachment``).
- Results that you could not deliver are sent again after the next `welcome`. Effects without a
  result are restated then: ``safe`` ones as `perform` with ``first_attempt: false``, ``query`` ones
  as `find`, ``never`` ones not at all (their result is still awaited).
"""

from __future__ import annotations

from adapters.remote.channel import Remote, Session, Settings

__all__ = ["CHANNEL", "SETTINGS", "Remote", "Session", "Settings"]

CHANNEL = Remote
SETTINGS = Settings
