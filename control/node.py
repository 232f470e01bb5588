"""`Node`: a node from a configuration file, with its management interface beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..actors.embedding import EmbeddedNode
from ..protocol.config import Config
from .audit import Audit
from .commands import TABLE
from .configfile import load_config
from .mi import run_here
from .modules import make_capability
from .notices import Notices
from .remote import RemoteCommands

if TYPE_CHECKING:
    from ..actors.system import NodeSystem
    from ..protocol.contract import Capability
    from ..protocol.identity import ClusterId
    from .faces import Faces
    from .link_view import LinkView


class Node(EmbeddedNode):
    """One node of one or several clusters, embedded in this process.

    Nothing is started, opened or written before `start`; see `actors.embedding` for threads.
    """

    software = f"tagmesh {__version__}"

    _faces: Faces | None = None

    def __init__(self, config: Config) -> None:
        """Makes the capabilities that the configuration names a ``module`` for; see `modules`."""
        super().__init__(config)
        self.subscriptions = Notices(self).subscriptions
        """Who hears of events by datagram."""
        self._audit = Audit(self.node_id, config.provisioning, self.handlers.run)
        for settings in config.capabilities:
            if settings.module is not None:
                self.cluster(settings.cluster).register(make_capability(settings))

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> Node:
        """The node that a TOML file describes; without a path the usual places are searched.

        Raises `ConfigError` with every mistake of the file.
        """
        return cls(load_config(path))

    @property
    def admin_url(self) -> str | None:
        """Where the management interface answers over HTTP; None = it is switched off."""
        http = self._faces.http if self._faces is not None else None
        return http.url if http is not None else None

    def mi(self, method: str, *params: Any, **named: Any) -> Any:
        """The result of a management command, without a face: positional or named parameters.

        Raises `CommandError`.
        """
        return run_here(self, TABLE, method, named or list(params))

    def link(self, node_id: int, cluster: int | None = None) -> LinkView:
        """The link with another node, to be explained."""
        from .link_view import LinkView

        return LinkView(self.status, node_id, cluster)

    def repl(self, *, plain: bool = False) -> None:
        """A Python prompt with ``node`` in it, in this thread, until the end of input."""
        from .cli_repl import prompt_for

        prompt_for([self], {"node": self}, self.mi, plain=plain)

    def note(self, who: str, command: str, arguments: str, outcome: str) -> None:
        """Keep who had this node do what, see `Audit.note`."""
        self._audit.note(who, command, arguments, outcome)

    def own_capabilities(self, cluster: ClusterId) -> Iterable[Capability]:  # noqa: ARG002 - a hook
        """See `NodeLife.own_capabilities`."""
        return [RemoteCommands(self, TABLE, self.config.admin, self.handlers.run)]

    def _started_in_hub(self, system: NodeSystem) -> None:  # noqa: ARG002 - a hook
        from .faces import Faces

        self._faces = Faces.start(self, self.config.admin)

    def _stopping_in_hub(self) -> None:
        if self._faces is not None:
            self._faces.stop()
            self._faces = None
        self.subscriptions.close()
