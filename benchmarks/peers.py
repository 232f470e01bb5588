"""A process full of nodes, the other side of `benchmarks.idle`: one per configuration file named.

They have no management interface and write no logs. It ends when its standard input does, so it
does not outlive the benchmark that started it.
"""

from __future__ import annotations

import os
import sys

import gevent

from tagmesh import Node


def main() -> None:
    for config in sys.argv[1:]:
        Node.from_config(config).start(inline=True)
    gevent.get_hub().threadpool.apply(sys.stdin.read)
    os._exit(0)  # threads and hubs of the nodes need not be taken down one by one


if __name__ == "__main__":
    main()
