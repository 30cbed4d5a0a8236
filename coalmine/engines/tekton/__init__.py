"""Runs on Tekton."""

from coalmine.engines.tekton.dialect import Tekton

__all__ = ["Tekton"]
