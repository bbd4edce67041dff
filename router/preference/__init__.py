"""Which channel, address and hour reach a customer: learned from attempts, outcomes and visits.

Pure: no clock, no randomness of its own, no files. Time is a local wall hour and a draw is a number
that the caller gives. Numpy does the linear algebra: a query is the inverse of a matrix of at most
82 by 82 and one product with some hundred candidates, 0.1 to 0.4 ms with numpy, 50 ms without.

    profile.py      what is remembered of a customer, at most 510 bytes
    archive.py      counts of attempts that it has no more room for
    outcomes.py     what an attempt came to, and what that counts
    prior.py        what is expected of a stranger, by segment, channel and hour
    expectation.py  the same for a customer who came to us by themselves
    ladder.py       the simple estimator      gpl.py  the better one
    calibration.py  predictions held against outcomes
    windows.py      ranked windows, and the choice of one
    explain.py      the evidence in words
"""
