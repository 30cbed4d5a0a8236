"""Ask a launcher from Python."""
