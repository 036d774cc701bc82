"""This package and other frameworks at the same tasks, taking turns.

``contestants`` lists who takes part; a file a framework does the work, each framework in a process
of its own (``processes``); ``measure`` times them and ``memory`` measures their peaks, as rows of a
``report``.
"""
