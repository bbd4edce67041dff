"""A day at the centre, by a profile: arrivals, robots, measures, a verdict, a report."""
