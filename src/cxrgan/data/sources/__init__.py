"""Where images come from: each source as a list of records. Nothing is decoded here; `prepare` does that."""
