"""What splits the traffic, one backend a file."""
