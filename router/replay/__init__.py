"""Past traffic through another policy: the same engine, on a virtual clock.

`stored` reads the log of a workspace without ever writing to it; `recording` finds in its events
what was *given* (who came when, who was there, how long they talked, what they put up with);
`driver` gives that to an engine again, which decides everything else anew; `fates` folds what came
of it into numbers and one line for each contact; `report` lays the columns side by side.

`stages` is what ties the given to the decided: an input is not kept at its moment of the day but at
its distance from where its contact stood (waiting, served, parked), so that it still means the same
when the contact is answered earlier, later, or by somebody else. With the policy unchanged both are
the same moment, and a replay repeats what happened.
"""
