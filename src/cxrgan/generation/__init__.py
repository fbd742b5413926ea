"""Seeds -> images -> files."""
