"""What answers questions about the past minutes, one source a file."""
