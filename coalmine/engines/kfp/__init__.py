"""Runs on Kubeflow Pipelines."""

from coalmine.engines.kfp.engine import KfpEngine

__all__ = ["KfpEngine"]
