"""What customer events change in the engine's state: nothing.

Contacts under way have events of their own, and the customers' rows are the runtime's to keep
(`customers.py` says how they change).
"""

from __future__ import annotations

from router.core import events as e
from router.core.state import State, applies


@applies(e.CustomerChanged)
@applies(e.IdentityAdded)
@applies(e.IdentityRemoved)
@applies(e.CustomersMerged)
@applies(e.ConsentChanged)
@applies(e.DoNotContactChanged)
@applies(e.CustomerErased)
def _nothing(state: State, event: e.Event) -> None:
    """Facts for the stream, the audit and the customer's row."""
