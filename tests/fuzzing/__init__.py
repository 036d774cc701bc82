"""Every reader of outside bytes, given damaged copies of real files.

A *case* is what a reader is given: file name to bytes. ``seed_checkpoints`` and ``seed_data`` make
real ones, ``mutations`` damages them (inside ``containers`` too), ``readers`` is the table of what
reads them through the functions of ``reading``, ``trial`` checks one case against the contract,
``campaign`` tries many in processes of their own.

``python scripts/fuzz_readers.py`` is its command line.
"""
