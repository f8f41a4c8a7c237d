-- What scheduler/later and scheduler/upkeep need beyond the first schema: claims that tell repeats, partitions made even where the
-- default one has taken their rows, old partitions dropped, stops refilled, deliveries counted that nobody accounts for.

-- The claim also tells whether an earlier lease ran out: somebody may have published that job already. plpgsql keeps its plan.
DROP FUNCTION later_claim(integer, interval);
CREATE FUNCTION later_claim(most integer, lease interval)
RETURNS TABLE (tenant_id uuid, due_at timestamptz, delivery_id text, attempt integer, why text, job bytea, leased_before boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE later l SET lease_until = now() + lease
    FROM (
        SELECT c.tenant_id, c.due_at, c.delivery_id, c.attempt, c.lease_until IS NOT NULL AS leased_before
        FROM later c
        WHERE c.due_at <= now() AND (c.lease_until IS NULL OR c.lease_until < now())
        ORDER BY c.due_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE l.tenant_id = due.tenant_id AND l.due_at = due.due_at AND l.delivery_id = due.delivery_id AND l.attempt = due.attempt
    RETURNING l.tenant_id, l.due_at, l.delivery_id, l.attempt, l.why, l.job, due.leased_before;
END $$;
COMMENT ON FUNCTION later_claim IS 'Lease due rows, oldest first. leased_before: a lease of the row ran out, so its job is a repeat.';

CREATE FUNCTION make_partition(parent text, name text, key text, lower_bound text, upper_bound text) RETURNS void
LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent, lower_bound, upper_bound);
EXCEPTION WHEN check_violation THEN  -- it was missing when it was needed, and the default partition has its rows: move them
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_default', key, lower_bound, key, upper_bound, name);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, lower_bound, upper_bound);
END $$;

CREATE OR REPLACE FUNCTION ensure_partitions(today date, days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET lock_timeout = '2s' AS $$
DECLARE
    made integer := 0;
    parent text;
    d date;
    h timestamptz;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('scaisend.partitions'));
    FOR d IN SELECT generate_series(today - 1, today + days, interval '1 day')::date LOOP
        FOREACH parent IN ARRAY ARRAY['messages', 'events', 'blobs'] LOOP
            name := parent || '_' || to_char(d, 'YYYYMMDD');
            IF to_regclass('public.' || name) IS NULL THEN
                PERFORM make_partition(parent, name, 'day', d::text, (d + 1)::text);
                made := made + 1;
            END IF;
        END LOOP;
        FOR h IN SELECT generate_series(d::timestamp AT TIME ZONE 'UTC', (d + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 hour', interval '1 hour') LOOP
            name := 'later_' || to_char(h AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
            IF h > now() - interval '1 hour' AND to_regclass('public.' || name) IS NULL THEN
                PERFORM make_partition('later', name, 'due_at', h::text, (h + interval '1 hour')::text);
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION drop_partitions(history_days integer, blob_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    dropped integer := 0;
    old record;
    has_rows boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('scaisend.partitions'));
    FOR old IN
        SELECT p.parent, p.name FROM (
            SELECT i.inhparent::regclass::text AS parent, c.relname::text AS name, substring(c.relname from '_([0-9]+)$') AS stamp
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent IN ('messages'::regclass, 'events'::regclass, 'blobs'::regclass, 'later'::regclass) AND c.relname ~ '_[0-9]+$'
        ) p
        WHERE CASE p.parent
            WHEN 'later' THEN to_timestamp(p.stamp, 'YYYYMMDDHH24') < now() - interval '3 hours'
            WHEN 'blobs' THEN to_date(p.stamp, 'YYYYMMDD') < current_date - blob_days
            ELSE to_date(p.stamp, 'YYYYMMDD') < current_date - history_days
        END
        ORDER BY 1, 2
    LOOP
        EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', old.parent);  -- before the partition, as every other statement does
        has_rows := false;
        IF old.parent = 'later' THEN
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', old.name);
            EXECUTE format('SELECT EXISTS (SELECT FROM %I)', old.name) INTO has_rows;
        END IF;
        IF NOT has_rows THEN
            EXECUTE format('DROP TABLE %I', old.name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION drop_partitions IS 'Drop what is older than it is kept: messages and events, blobs (days), empty hours of later. Returns how many.';

CREATE FUNCTION rows_in_default_partitions() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT (SELECT count(*) FROM messages_default) + (SELECT count(*) FROM events_default)
         + (SELECT count(*) FROM later_default) + (SELECT count(*) FROM blobs_default)
$$;
COMMENT ON FUNCTION rows_in_default_partitions IS 'Rows for which no partition was made in time: 0 unless upkeep stood still.';

CREATE FUNCTION unaccounted_deliveries(older interval) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT count(*) FROM messages m
    WHERE m.day >= current_date - 10 AND m.rank < 10
      AND greatest(m.accepted_at, to_timestamp((m.origin ->> 'send_at')::float8)) < now() - older
$$;
COMMENT ON FUNCTION unaccounted_deliveries IS 'Deliveries of the last ten days that should have ended long ago and have not.';

CREATE FUNCTION suspended_tenants() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT id FROM tenants WHERE state = 'suspended' $$;

CREATE FUNCTION suppressions_since(since timestamptz, after_tenant uuid, after_address text, after_kind text, most integer)
RETURNS TABLE (tenant_id uuid, address text, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT s.tenant_id, s.address, s.kind FROM suppressions s
    WHERE s.created_at >= since AND (s.tenant_id, s.address, s.kind) > (after_tenant, after_address, after_kind)
    ORDER BY s.tenant_id, s.address, s.kind
    LIMIT most
$$;
COMMENT ON FUNCTION suppressions_since IS 'Suppressions made since then, of all tenants, a page at a time, in the order of their key.';

REVOKE EXECUTE ON FUNCTION later_claim, make_partition, drop_partitions, rows_in_default_partitions, unaccounted_deliveries, suspended_tenants,
    suppressions_since FROM PUBLIC;
GRANT EXECUTE ON FUNCTION later_claim, drop_partitions, rows_in_default_partitions, unaccounted_deliveries, suspended_tenants, suppressions_since
    TO scaisend_scheduler;
