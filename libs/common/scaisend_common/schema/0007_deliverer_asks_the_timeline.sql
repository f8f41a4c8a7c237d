-- A repeat that comes when the ledger has forgotten its outcome is held against the timeline before it is sent.
GRANT SELECT (tenant_id, day, delivery_id, attempt, rank) ON messages TO scaisend_deliverer;
