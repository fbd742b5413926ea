"""A run folder, or many -> plots and pages; reads files, computes nothing anew."""
