"""The command line `scaisend`: what operators do before, beside and after the services."""
