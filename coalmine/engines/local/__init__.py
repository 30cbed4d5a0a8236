"""Runs a pipeline on this machine, each task a process of this installation, durably."""

from coalmine.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]
