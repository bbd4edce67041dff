"""The shell around the pure core: the loop that owns an engine, adapters, desks, feed, metrics."""
