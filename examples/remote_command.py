"""One command on all nodes: each answers for itself, as far as it lets the asker, or is absent."""

from __future__ import annotations

import json
from typing import Any

from tagmesh import LocalCluster


def main() -> None:
    with LocalCluster(3) as lab:
        lab.until(lambda: all(row["status"] == "ok" for row in ask(lab, "version", [])))
        for row in ask(lab, "which", ["version"]):
            print("node", row["node_id"], row["status"], json.dumps(row["result"]))
        lab.kill(3)
        lab.until("3 is Down")
        print("node 3", ask(lab, "version", [])[2]["status"])
        refused = ask(lab, "clusterer_set_cap_status", ["1", "tagmesh-requests", "0"])[1]
        print("node 2", refused["error"]["message"] + ": [admin] remote is observer there")
    print("OK")


def ask(lab: LocalCluster, command: str, params: list[str]) -> list[dict[str, Any]]:
    """Node 1 asks all nodes."""
    answer = lab[1].mi("cluster_call", cluster_id=1, cmd_name=command, cmd_params=params)
    rows: list[dict[str, Any]] = answer["Nodes"]
    return rows


if __name__ == "__main__":
    main()
