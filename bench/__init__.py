"""The line measured beside its peers. `python -m bench --help`."""
