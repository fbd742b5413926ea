"""Real and generated images -> numbers beside their floors."""
