"""Every reader of outside bytes, given damaged copies of real files.

A *case* is what a reader is given: file name to bytes. ``seeds`` makes real ones, ``mutations``
damages them (inside containers too, ``containers``), ``readers`` is the table of what reads them,
``trial`` judges one case, ``campaign`` tries many in processes of their own.
"""
