"""What Tekton and Argo have in common for a client: objects of a Kubernetes API server."""
