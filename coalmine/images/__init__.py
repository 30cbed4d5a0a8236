"""What makes images, one builder a file."""
