"""Who may join: a node without a row is refused, and joins when it is provisioned."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tagmesh import Node, NotProvisioned
from tagmesh.control.configfile import load_config
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.storage import Provisioning


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder), 3)  # three certificates of one CA, three rows
        provisioning = Provisioning(load_config(space.config(1)).provisioning)
        provisioning.remove(ClusterId(1), NodeId(3))
        with Node.from_config(space.config(1)) as one, Node.from_config(space.config(2)):
            one.until(lambda status: status.clusters[0].peers[0].connected)
            print("nodes 1 and 2 are linked")
            try:
                Node.from_config(space.config(3)).start()
            except NotProvisioned as refused:
                print("node 3:", str(refused).partition(";")[0])
            url = BinsUrl.parse(space.urls[3])
            provisioning.add(NodeRecord(cluster_id=ClusterId(1), node_id=NodeId(3), url=url))
            with Node.from_config(space.config(3)) as three:
                three.until(lambda s: all(p.connected for p in s.clusters[0].peers))
                print(
                    "node 3 has a row now, and is linked with", len(one.status().clusters[0].peers)
                )
        provisioning.close()
    print("OK")


if __name__ == "__main__":
    main()
