"""The work of one task each, from retrieve to finalize."""
