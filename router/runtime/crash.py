"""Named places at which a test may kill the process, to prove that nothing acknowledged is lost.

Harmless unless the environment says otherwise: ``CONTACT_ROUTER_CRASH_AT=after_commit`` ends the
process at that place as kill -9 would; ``after_commit:7`` does so at the seventh visit.
"""

from __future__ import annotations

import os
from typing import Literal

Point = Literal[
    "before_commit",  # decided in memory, not written
    "after_commit",  # written; no effect released, nobody answered
    "after_effects",  # effects released, nobody answered
    "after_answers",  # everything done
    "before_effect",  # an adapter is about to carry an effect out
    "after_effect",  # carried out, its result not yet told to the engine
]

_NAME, _, _COUNT = os.environ.get("CONTACT_ROUTER_CRASH_AT", "").partition(":")
_left = int(_COUNT or 1)


def crash_point(point: Point) -> None:
    """End the process here if the environment asks for it."""
    global _left
    if point == _NAME:
        _left -= 1
        if _left <= 0:
            os._exit(137)
