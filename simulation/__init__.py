"""Whole clusters on virtual time: the actors of production on a simulated machine."""
