"""The service that the demo releases: its source, and the training of its three versions."""
