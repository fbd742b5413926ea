"""What a run is on disk: whoever reads or writes one comes here."""
