"""The management commands about the provisioned nodes."""

from __future__ import annotations

from ..protocol.errors import Misuse, StorageUnavailable
from .command import DONE, Command, CommandError
from .port import NodePort

RELOAD_TIMEOUT_S = 4.0
"""How long the database may take: less than those who ask wait."""


def _reload(port: NodePort) -> str:
    try:
        port.reload_rows(RELOAD_TIMEOUT_S)
    except Misuse as misuse:
        raise CommandError(400, "Non-DB mode", str(misuse)) from misuse
    except StorageUnavailable as error:
        raise CommandError(500, "Failed to reload", str(error)) from error
    return DONE


COMMANDS = (
    Command(
        name="clusterer_reload",
        module="clusterer",
        recipes=((),),
        help="reads the provisioned nodes again; links whose rows are as they were go on",
        run=_reload,
        changing=True,
        admin=True,
        waits=True,
    ),
)
