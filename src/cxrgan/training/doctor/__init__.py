"""What goes wrong in a run, since when, by which numbers, and what to change."""
