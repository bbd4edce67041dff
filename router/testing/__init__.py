"""Shipped for whoever tests the router or an adapter; production never imports it."""
