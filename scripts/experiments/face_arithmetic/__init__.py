"""How often arithmetic and interpolation of faces come out right.

``measure.py`` is the command; ``study`` does what it says. An attribute classifier
looks at the faces. Only ``models`` knows how a trained model is loaded: all else works on a
``Space``, which says how images become points and points pictures.
"""
