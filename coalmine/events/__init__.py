"""CloudEvents in, strictly read; events about releases out. The ground floor of the control wing."""
