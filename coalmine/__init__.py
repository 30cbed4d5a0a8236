"""Coalmine releases machine-learning models safely: one CloudEvent in, a gated canary out."""

from importlib import import_module

__all__ = ["Release", "__version__", "release"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Find what is asked for when it is asked for: `import coalmine` alone stays quick."""
    if name in {"Release", "release"}:
        return getattr(import_module("coalmine.client.handle"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
