"""How fast this package works here, and how much memory that takes.

``tasks`` says what is measured and ``runs`` does it; ``timing`` times it; ``roofline`` says what it
must cost at least. ``scripts/benchmarks`` has other frameworks take turns at the same tasks.
"""
