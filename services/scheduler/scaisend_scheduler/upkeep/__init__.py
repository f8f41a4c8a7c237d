"""Role upkeep: partitions ahead of time and behind it, the stops of a ledger that began anew, and the reconciler."""
