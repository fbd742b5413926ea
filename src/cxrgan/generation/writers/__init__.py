"""Images -> files, a module a format; each makes a new folder, whole or not at all."""
