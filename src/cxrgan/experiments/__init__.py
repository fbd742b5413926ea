"""Runs that are made and measured alike, in one table."""
