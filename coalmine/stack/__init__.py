"""The embedded parts on one machine, supervised: Envoy, Prometheus, model servers, the launcher."""
