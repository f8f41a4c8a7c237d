"""The database: numbered SQL files, the runner that applies them, and the wait of a service for them."""
