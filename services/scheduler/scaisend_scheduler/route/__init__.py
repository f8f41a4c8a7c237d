"""Role route: submissions become jobs and first events."""
