"""``tagmesh`` without the look at its own certificate at start: a careless or hostile node.

Run as a program, with the arguments of ``tagmesh``.
"""

from __future__ import annotations

from unittest import mock

from tagmesh.control import cli
from tagmesh.transport import tls

with mock.patch.object(tls, "check_own"):
    cli.main()
