"""Measure this package's speed and memory use.

``tasks`` defines what is measured, ``runs`` runs it, ``timing`` times it, and ``roofline`` computes
the least time possible. ``scripts/benchmarks`` times other frameworks at the same tasks.
"""
