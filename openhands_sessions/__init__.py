"""Sessions of AI agents over Socket.IO: the public face."""

__version__ = "0.1.0"

__all__ = ["__version__"]
