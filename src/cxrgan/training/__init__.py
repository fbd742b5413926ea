"""A configuration and a dataset -> a run folder."""
