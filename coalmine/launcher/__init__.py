"""HTTP receiver, bindings and durable queue: an accepted event becomes exactly one run."""
