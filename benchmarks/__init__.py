"""Benchmarks of agno_nb against agno: interleaved in one process, so that ratios are comparable even if times are not.

`make bench` runs it. Nothing here is a test: no build fails for a slow machine.
"""
