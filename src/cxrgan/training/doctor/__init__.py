"""What is going wrong in a run, since when, on what evidence, and what to change."""
