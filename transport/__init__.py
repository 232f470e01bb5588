"""Bytes between hosts: authenticated connections that carry protocol messages."""
