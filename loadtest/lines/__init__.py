"""Customers of a run who come over a channel's own protocol: SMPP, mail, SIP, with real peers."""
