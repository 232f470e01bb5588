"""What gets replicated: plain Python on `protocol.contract`.

A capability knows a port and nothing else of the node it runs in, so that it can be tested, and
copied, without one. Read `counters` first: it is the small one.
"""
