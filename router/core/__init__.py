"""The pure core: it decides and never waits. Start at `matching.py`, then `engine.py`."""
