"""THE ADAPTER TO COPY: a backend in memory, for the demo, for tests, and as the model.

``channel.py`` is the adapter, with the script of its customers and phones; ``calls.py`` is what its
PBX knows, without waiting and without the router.
"""

from __future__ import annotations

from adapters.loopback.calls import Line, Ring
from adapters.loopback.channel import Loopback, Performed, Settings

__all__ = ["CHANNEL", "SETTINGS", "Line", "Loopback", "Performed", "Ring", "Settings"]

CHANNEL = Loopback
SETTINGS = Settings
