"""Where bentos come from, one adapter a file."""
