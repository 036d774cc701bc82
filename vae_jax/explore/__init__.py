"""The explorer: a local web page that decodes points of a model's latent space.

``session`` computes and does not depend on the page; the panels only draw; ``server`` serves. Only
``server``, ``page`` and the panels import NiceGUI.
"""
