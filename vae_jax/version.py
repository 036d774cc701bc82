"""The package's version, apart from the package's root so that every room can import it."""

__version__ = "0.1.0"
