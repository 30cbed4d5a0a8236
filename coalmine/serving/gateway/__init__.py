"""Two backends and an HTTPRoute whose weights are ours: for Deployments and for Standard mode."""
