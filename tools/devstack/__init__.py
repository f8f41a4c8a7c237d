"""The development stack: `make up` and its kin; `servers` and `process` also serve the tests."""
