"""``nox``: the tests on every supported Python, the checks, and the built package.

``make test`` and ``make check`` do the same on one Python, without nox. ``nox -s determinism`` is
quick: it asks each Python for the same simulated histories, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["tests", "check", "build"]

PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite."""
    session.install("--editable", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def determinism(session: nox.Session) -> None:
    """I12: each Python finds the stored hashes, whatever PYTHONHASHSEED is; ``tests`` does too."""
    session.install("--editable", ".", "hypothesis", "pytest")
    session.run("pytest", "tests/simulation/test_determinism.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def check(session: nox.Session) -> None:
    """What ``make check`` does."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("pytest", "-q", "tests/test_layout.py", "tests/test_style.py")


@nox.session(python=PYTHONS)
def build(session: nox.Session) -> None:
    """Source distribution and, from it, a wheel that works away from the checkout."""
    dist = Path(session.create_tmp()).resolve() / "dist"
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,) = dist.glob("*.whl")
    session.run("pip", "install", "--quiet", "--force-reinstall", str(wheel))
    session.chdir(dist)
    session.run("python", "-I", "-c", "import tagmesh; tagmesh.LocalCluster; tagmesh.Node")
    session.run("tagmesh", "--version")
    session.run("tagmesh", "demo", "--exit-after", "3")
    (top,) = Path(session.virtualenv.location).glob("lib/python*/site-packages/tagmesh-*.dist-info")
    listed = (top / "top_level.txt").read_text(encoding="utf-8").split()
    if listed != ["tagmesh"]:
        session.error(f"the wheel installs {listed} at top level, not tagmesh alone")
