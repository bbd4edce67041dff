"""Kinds of values that many settings have: lengths of time, levels of skills, names of things."""

from __future__ import annotations

from typing import Annotated, Any

from router.config.convert import Between, Name, Ref, Written
from router.config.forms import length, length_over_zero

Length = Annotated[int, Written(length)]
Some = Annotated[int, Written(length_over_zero)]
"""A length that cannot be zero."""
Text = Annotated[str, Between(1, 2000)]
Skill = Annotated[str, Name()]
Level = Annotated[int, Between(1, 10)]
Tier = Annotated[int, Between(0, 99)]
Levels = Annotated[dict[Skill, Level], Between(1, 50)]
ChannelName = Annotated[str, Ref("channels")]
QueueName = Annotated[str, Ref("queues")]
Attributes = Annotated[dict[Annotated[str, Between(1, 64)], Any], Between(0, 64)]
