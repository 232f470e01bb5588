"""``python -m tagmesh``: the command line."""

from tagmesh.control.cli import main

if __name__ == "__main__":
    main()
