"""Anywhere -> one dataset folder; which images a step sees is a pure function."""
