"""What a run is on disk; all reading and writing of runs is here."""
