"""tagmesh: an actor-model cluster runtime for Python."""

__version__ = "0.1.0"
