"""All mutants: the checkers are worth what they kill (reliability, section 3).

>>> with MUTANTS["decay"].active():
...     history(seed)               # must raise

Each puts one defect back, a row of behaviour 1.23 or of the table of reliability 3 or one of our
own rules turned off. A run of mutants in which the canary survives is void. What belongs to
subsystems that do not exist yet stands in `NOT_YET`, with the issue that brings it.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    defects_fencing,
    defects_flow,
    defects_links,
    defects_members,
    defects_services,
    defects_sync,
    defects_tags,
    defects_topology,
)
from .defect import Mutant

__all__ = ["CANARY", "MUTANTS", "NOT_YET", "Mutant"]

CANARY = "canary"

MUTANTS: dict[str, Mutant] = {
    found.name: found
    for module in (
        defects_links,
        defects_topology,
        defects_members,
        defects_services,
        defects_flow,
        defects_sync,
        defects_tags,
        defects_fencing,
    )
    for found in vars(module).values()
    if isinstance(found, Mutant)
}
"""Name → mutant, in the order of the modules."""

NOT_YET: Mapping[str, str] = {
    "row 23 (set_status edits rows of all clusters)": "issue 6",
    "row 28 (parameters overflow)": "issue 6",
    "row 29 (remote commands without authorisation)": "issue 6",
}
"""Defects of what does not exist yet → the issue that brings it and its mutant."""
