"""CloudEvents in, strictly read; events about releases out: the control wing's ground floor."""
