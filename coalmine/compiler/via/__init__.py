"""Pipelines in the DSL of kfp 1.8, by way of the compilers of that time."""

from coalmine.compiler.via.environment import compile_v1
from coalmine.compiler.via.tekton_v1 import modernise

__all__ = ["compile_v1", "modernise"]
