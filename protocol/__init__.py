"""The rules: pure. No IO, no clock, no thread, no randomness.

A rules class has ``receive(message, now) -> list[Effect]``, ``tick(now) -> list[Effect]`` and
``deadline``; a shell in ``actors/`` performs what it returns.
"""
