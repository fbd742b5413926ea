"""The command line: parses and wires, computes nothing."""
