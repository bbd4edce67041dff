"""Failures on demand, and how each comes about.

An address or endpoint that ends in one of these words provokes it:

    ``#busy``       the endpoint is busy: `failed(busy=True)`; a customer that is dialled is busy
    ``#no-answer``  the endpoint rings, nobody answers; a customer that is dialled does not either
    ``#slow``       carried out, but only after `slow_s`
    ``#fail``       `ChannelError`: not carried out
    ``#unknown``    `UnknownOutcome`: carried out, but the backend does not say so
    ``#lost``       `ChannelLost`, once per address: not carried out, and the backend is gone until
                    the supervisor calls `run` again

What concerns an agent's leg looks at the endpoint, everything else at the customer's address:
``+4930123#slow``, ``PJSIP/ana#busy``.
"""

from __future__ import annotations

from router.channel import ConnectAgent, MonitorContact, OfferContact, Task

WORDS = ("busy", "no-answer", "slow", "fail", "unknown", "lost")


def subject(task: Task) -> str:
    """The endpoint or address an effect is about."""
    effect = task.effect
    if isinstance(effect, OfferContact | ConnectAgent | MonitorContact):
        return effect.endpoint
    return task.customer.address


def trouble(task: Task) -> str:
    """The failure that the effect's address asks for; empty = none."""
    _, mark, word = subject(task).rpartition("#")
    return word if mark and word in WORDS else ""
