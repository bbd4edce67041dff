"""The network surface: HTTP, event stream, desk and adapter sockets. Decides nothing about routing.

Start at `table.py`: every operation is one entry there; `http.py` serves it,
`openapi.py` describes it.
"""
