"""The work of one task each: retrieve, build, canary, gate, promote, rollback, finalize."""
