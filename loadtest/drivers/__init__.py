"""Clients that cost less than what they measure."""
