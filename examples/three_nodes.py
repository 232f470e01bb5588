"""Three nodes in this process over real TLS: break a link, see traffic go round, heal it."""

from __future__ import annotations

from tagmesh import LocalCluster


def main() -> None:
    with LocalCluster(3) as lab:  # blocks until all links are up
        print(lab)

        lab.cut(1, 3)
        lab.wait_route(1, 3, via=2)
        print("\nthe path between 1 and 3 is cut; 1 reaches 3 by", lab[1].trace_route(1, 3), "\n")
        print(lab)

        lab.heal(1, 3)
        lab.wait_route(1, 3)
        print("\nhealed; 1 reaches 3 by", lab[1].trace_route(1, 3))
    print("OK")


if __name__ == "__main__":
    main()
