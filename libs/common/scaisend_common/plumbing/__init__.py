"""No mail in here: what any service needs to run."""
