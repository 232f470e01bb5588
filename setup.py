"""Maps the folders at the top of the checkout to subpackages of ``tagmesh``.

Top-level modules called ``actors`` or ``storage`` would collide in every embedding
application, so nothing but ``tagmesh`` is ever installed. ``tagmesh/`` holds one symbolic
link per folder for tools that run in a checkout; the build never reads the links.
"""

from setuptools import setup

SUBPACKAGES = (
    "protocol",
    "storage",
    "transport",
    "capabilities",
    "actors",
    "simulation",
    "control",
)

setup(
    packages=["tagmesh", *(f"tagmesh.{name}" for name in SUBPACKAGES)],
    package_dir={"tagmesh": "tagmesh", **{f"tagmesh.{name}": name for name in SUBPACKAGES}},
    package_data={"tagmesh": ["py.typed"]},
)
