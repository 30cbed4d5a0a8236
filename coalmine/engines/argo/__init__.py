"""Runs on Argo Workflows."""

from coalmine.engines.argo.dialect import Argo

__all__ = ["Argo"]
