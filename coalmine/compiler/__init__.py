"""KFP IR to a flat graph, and the graph to the manifests of each target."""
