"""Read a compiled pipeline (KFP IR, YAML) as the flat graph, without importing kfp."""

from coalmine.compiler.ir.read import read_graph, read_graph_text

__all__ = ["read_graph", "read_graph_text"]
