"""The HTTP receiver, the bindings and the durable queue: an accepted event becomes exactly one run."""
