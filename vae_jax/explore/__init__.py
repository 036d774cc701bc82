"""The explorer: one local web page that decodes the points of a model's latent space live.

``session`` computes and knows nothing of the page; the panels draw and compute nothing; ``server``
alone serves. Only ``server``, ``page`` and the panels import NiceGUI.
"""
