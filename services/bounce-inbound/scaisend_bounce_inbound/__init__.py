"""Receives the bounces and complaints that come back on port 25; see `__main__` for the map."""
