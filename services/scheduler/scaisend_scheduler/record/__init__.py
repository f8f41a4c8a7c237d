"""Role record: events become the timeline, message states, statistics, suppressions and stops."""
