"""agno and agno_nb measured side by side, in one process and interleaved, so that ratios hold where times do not.

`make bench` runs it. Nothing here is a test: no build fails for a slow machine.
"""
