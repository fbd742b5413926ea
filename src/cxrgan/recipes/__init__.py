"""What a run is to do: frozen values, and the named recipes."""
