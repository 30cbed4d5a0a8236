"""What every backend on Kubernetes shares: the API, ownership, the drive to a goal, diagnosis."""
