"""Capabilities of other packages: made by name, because the configuration says so.

A package offers one in the entry point group `GROUP`: a function, or a class, that is called with
the name of the ``[capability."name"]`` table and returns the `Capability`. Its code runs in the
process of the node with all its rights, so nothing is loaded that the configuration does not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.contract import Capability
from ..protocol.errors import Misuse

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..protocol.capability_settings import CapabilitySettings

GROUP = "tagmesh.capabilities"


def find_module(settings: CapabilitySettings) -> EntryPoint:
    """The one entry point that ``module`` names; `Misuse` says which ones there are."""
    from importlib.metadata import entry_points  # slow, and seldom needed

    offered = entry_points(group=GROUP)
    found = [entry for entry in offered if entry.name == settings.module]
    if not found:
        names = ", ".join(sorted({entry.name for entry in offered})) or "nothing"
        raise Misuse(
            f"{_where(settings)}: no installed package offers it; offered: {names}. Is its package"
            " installed in the environment of this program?"
        )
    if len(found) > 1:
        packages = ", ".join(sorted(entry.dist.name if entry.dist else "?" for entry in found))
        raise Misuse(f"{_where(settings)}: offered by several packages: {packages}; remove one")
    return found[0]


def make_capability(settings: CapabilitySettings) -> Capability:
    """Make what the table describes; `Misuse` when that fails."""
    entry = find_module(settings)
    try:
        made = entry.load()(settings.name)
    except Exception as error:
        raise Misuse(
            f"{_where(settings)}: {entry.value} raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Capability) or made.name != settings.name:
        what = f"a capability {made.name!r}" if isinstance(made, Capability) else ascii(made)
        raise Misuse(
            f"{_where(settings)}: {entry.value} made {what}: it must return a tagmesh.Capability"
            " of the name it is given"
        )
    return made


def _where(settings: CapabilitySettings) -> str:
    return f'[capability."{settings.name}"] module = "{settings.module}"'
