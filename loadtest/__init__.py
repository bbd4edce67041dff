"""Measures the router: cost, throughput and latency, as fractions of what the machine can do."""
