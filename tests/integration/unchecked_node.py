"""``tagmesh`` without the look at its own certificate at start: a careless or hostile node.

Run as a program, with the arguments of ``tagmesh``.
"""

from __future__ import annotations

from tagmesh.control import cli
from tagmesh.transport import tls


def _no_check(*_anything: object) -> None:
    """Whatever the certificate says."""


tls.check_own = _no_check
cli.main()
