"""Regular expressions of the rule language: RE2, by google-re2.

A pattern is written by whoever writes the rules, the text it is tried on comes from customers.
Python's `re` backtracks: `(a+)+$` takes 2^n steps on n letters a. RE2 takes time linear in the text
for every pattern (https://github.com/google/re2/wiki/WhyRE2), its syntax is what CEL prescribes for
matches(), and google-re2 is its own authors' binding. It refuses back-references and look-around.
"""

from __future__ import annotations

import re2  # type: ignore[import-untyped]

from router.core.rules.operations import Pattern

PATTERN_MAX = 200
"""Characters of one pattern."""
PATTERN_MEMORY = 1 << 20
"""Bytes that one compiled pattern may use; beyond that, RE2 refuses it."""


def pattern(text: str) -> Pattern:
    """The compiled pattern. Raises ValueError: too long, not RE2's syntax, or too large."""
    if len(text) > PATTERN_MAX:
        message = f"expected a pattern of at most {PATTERN_MAX} characters, got {len(text)}"
        raise ValueError(message)
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    try:
        compiled: Pattern = re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"expected a pattern by RE2's syntax, got an error: {shown}") from None
    return compiled
