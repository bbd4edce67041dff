"""FreeSWITCH: calls over its event socket, inbound (we connect) and outbound (it connects)."""
