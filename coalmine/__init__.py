"""Coalmine releases machine-learning models safely: one CloudEvent in, a gated canary out."""

__all__ = ["__version__"]

__version__ = "0.1.0"
