"""Three nodes in this process over real TLS: share a dict, break a link, see traffic go round."""

from __future__ import annotations

from tagmesh import LocalCluster


def main() -> None:
    with LocalCluster(3) as lab:  # blocks until all links are up
        print(lab)

        users = [node.replicated_dict("users") for node in lab]
        users[0]["alice"] = {"ip": "10.0.0.7"}
        lab.settle()  # wait until nothing is in flight
        print("\nnode 3 has", dict(users[2]))

        lab.cut(1, 3)
        lab.wait_route(1, 3, via=2)
        print("\nthe path between 1 and 3 is cut; 1 reaches 3 by", lab[1].trace_route(1, 3), "\n")
        print(lab)
        users[2]["bob"] = {"ip": "10.0.0.8"}
        lab.settle()
        print("\nnode 1 has", sorted(users[0]))

        lab.heal(1, 3)
        lab.wait_route(1, 3)
        print("\nhealed; 1 reaches 3 by", lab[1].trace_route(1, 3))
    print("OK")


if __name__ == "__main__":
    main()
