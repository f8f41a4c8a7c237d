-- What was stopped leaves the waiting room within seconds and not when it is due: rows are found by their recipient, suppressions by when
-- they were noted. Writers of release N-1 leave rcpt NULL; such rows are looked at when they are due.

ALTER TABLE later ADD COLUMN rcpt text COLLATE "C";
COMMENT ON COLUMN later.rcpt IS 'The recipient, as suppressions know it.';
CREATE INDEX later_of_recipient ON later (rcpt);

-- created_at is the time of the event, which may be recorded hours later. Suppressions of before stay NULL: all that waits was held
-- against them when it was routed.
ALTER TABLE suppressions ADD COLUMN noted_at timestamptz;
ALTER TABLE suppressions ALTER COLUMN noted_at SET DEFAULT clock_timestamp();
COMMENT ON COLUMN suppressions.noted_at IS 'When it was inserted, by the database''s clock.';
CREATE INDEX suppressions_noted ON suppressions (noted_at) WHERE noted_at IS NOT NULL;

CREATE TABLE later_sweep (
    singular   boolean PRIMARY KEY DEFAULT true CHECK (singular),
    looked_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO later_sweep DEFAULT VALUES;
COMMENT ON TABLE later_sweep IS 'writer: scheduler/later. One row: what was suppressed until looked_at waits no more.';
GRANT SELECT, UPDATE ON later_sweep TO scaisend_scheduler;

CREATE FUNCTION suppressions_noted(since timestamptz, after_noted timestamptz, after_tenant uuid, after_address text, most integer)
RETURNS TABLE (noted_at timestamptz, tenant_id uuid, address text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT s.noted_at, s.tenant_id, s.address FROM suppressions s
    WHERE s.noted_at >= since AND (s.noted_at, s.tenant_id, s.address) > (after_noted, after_tenant, after_address)
    ORDER BY s.noted_at, s.tenant_id, s.address
    LIMIT most
$$;
COMMENT ON FUNCTION suppressions_noted IS 'Suppressions inserted since then, of all tenants, a page at a time, oldest first.';

-- Planned as a scan of that index in each hour, whatever the planner thinks of other ways: OFFSET keeps the other conditions out of its
-- sight. A join with the recipients took 1 ms for each of them among 1.5 million rows in 77 hours (PostgreSQL 15, 2 busy cores).
CREATE FUNCTION later_waiting_for(
    recipients text[], beyond interval, after_tenant uuid, after_due timestamptz, after_delivery text, after_attempt integer, most integer)
RETURNS TABLE (tenant_id uuid, due_at timestamptz, delivery_id text, attempt integer, why text, job bytea, leased_before boolean)
LANGUAGE plpgsql STABLE SET search_path = public SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY EXECUTE '
        SELECT l.tenant_id, l.due_at, l.delivery_id, l.attempt, l.why, l.job, l.lease_until IS NOT NULL
        FROM (SELECT * FROM later w WHERE w.rcpt = ANY ($1) OFFSET 0) l
        WHERE l.due_at > $2 AND (l.tenant_id, l.due_at, l.delivery_id, l.attempt) > ($3, $4, $5, $6)
        ORDER BY l.tenant_id, l.due_at, l.delivery_id, l.attempt
        LIMIT $7'
    USING recipients, now() + beyond, after_tenant, after_due, after_delivery, after_attempt, most;
END $$;
COMMENT ON FUNCTION later_waiting_for IS 'Rows of these recipients that are due later than so far ahead, a page at a time, as the caller (row-level security holds).';

-- LATERAL with LIMIT is one probe of an index in each hour; a join may be planned as a scan of all that waits.
CREATE FUNCTION suspended_tenants_waiting(beyond interval) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT t.id FROM tenants t
    CROSS JOIN LATERAL (SELECT FROM later l WHERE l.tenant_id = t.id AND l.due_at > now() + beyond LIMIT 1) waiting
    WHERE t.state = 'suspended'
$$;
COMMENT ON FUNCTION suspended_tenants_waiting IS 'Suspended tenants with mail in the waiting room that is due later than so far ahead.';

REVOKE EXECUTE ON FUNCTION suppressions_noted, later_waiting_for, suspended_tenants_waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION suppressions_noted, later_waiting_for, suspended_tenants_waiting TO scaisend_scheduler;
