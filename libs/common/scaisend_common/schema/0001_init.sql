-- The first schema: who sends (partners, tenants, users, keys, domains), what must not be sent (suppressions), what happened (messages,
-- events, stats), what waits (later, blobs, webhook_batches). PostgreSQL 15 features, no extension.
--
-- Every tenant table carries tenant_id, first in its key. Row-level security is the second wall: a service sees the rows of
-- app.tenants, which each transaction sets with SET LOCAL. The functions below that look across tenants are SECURITY DEFINER and
-- belong to the migrating role, which must be a superuser or have BYPASSRLS.

CREATE FUNCTION app_tenants() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('app.tenants', true), ''), '{}')::uuid[] $$;

CREATE TABLE partners (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug        text NOT NULL UNIQUE,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE partners IS 'writer: cli. Resellers and platforms; group tenants.';

CREATE TABLE tenants (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    partner_id    uuid NOT NULL REFERENCES partners,
    number        integer NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    slug          text NOT NULL UNIQUE,
    name          text NOT NULL,
    state         text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    at_most_once  boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenants IS 'writer: cli. The unit of isolation. number is its short name in return paths. at_most_once: an attempt in doubt is not repeated.';

CREATE TABLE users (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    email       text NOT NULL,
    name        text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email)
);
COMMENT ON TABLE users IS 'writer: cli. People of a tenant.';

CREATE TABLE api_keys (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    key_id      text NOT NULL UNIQUE CHECK (length(key_id) = 22),
    name        text NOT NULL,
    scopes      text[] NOT NULL,
    mac         bytea NOT NULL,
    pepper_kid  text NOT NULL,
    stream      text CHECK (stream IN ('transactional', 'bulk')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    PRIMARY KEY (tenant_id, key_id)
);
COMMENT ON TABLE api_keys IS 'writer: cli. mac = HMAC-SHA-256(pepper[pepper_kid], whole key). scopes {"*"} = full access. stream: NULL = decided per request.';

CREATE TABLE sender_domains (
    tenant_id         uuid NOT NULL REFERENCES tenants,
    domain            text NOT NULL,
    challenge         text NOT NULL,
    return_path_host  text NOT NULL,
    verified_at       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, domain)
);
CREATE UNIQUE INDEX sender_domains_one_owner ON sender_domains (domain) WHERE verified_at IS NOT NULL;
COMMENT ON TABLE sender_domains IS 'writer: cli. Domains a tenant may put into From once verified; return_path_host is the host of its bounce addresses.';

CREATE TABLE dkim_keys (
    tenant_id    uuid NOT NULL,
    domain       text NOT NULL,
    selector     text NOT NULL,
    sealed_key   bytea NOT NULL,
    kek_kid      text NOT NULL,
    public_key   text NOT NULL,
    active       boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, domain, selector),
    FOREIGN KEY (tenant_id, domain) REFERENCES sender_domains
);
COMMENT ON TABLE dkim_keys IS 'writer: cli. sealed_key = AES-256-GCM of the PKCS#8 DER, bound to tenant, domain and selector; public_key is the p= value.';

CREATE TABLE suppressions (
    tenant_id   uuid NOT NULL,
    address     text NOT NULL CHECK (address = lower(address)),
    kind        text NOT NULL CHECK (kind IN ('bounce', 'invalid', 'spamreport', 'unsubscribe')),
    reason      text NOT NULL DEFAULT '',
    status      text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, address, kind)
);
COMMENT ON TABLE suppressions IS 'writers: api on request, scheduler/record on events.';

CREATE TABLE messages (
    tenant_id     uuid NOT NULL,
    day           date NOT NULL,
    delivery_id   text NOT NULL,
    to_email      text NOT NULL,
    from_email    text NOT NULL DEFAULT '',
    subject       text NOT NULL DEFAULT '',
    state         text NOT NULL CHECK (state IN ('processed', 'dropped', 'deferred', 'unknown', 'delivered', 'bounced')),
    attempt       integer NOT NULL DEFAULT 0,
    rank          smallint NOT NULL,
    origin        jsonb,
    message_id    text NOT NULL DEFAULT '',
    accepted_at   timestamptz NOT NULL,
    last_event_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day, delivery_id)
) PARTITION BY RANGE (day);
COMMENT ON TABLE messages IS 'writer: scheduler/record. One row per delivery; day is the UTC day of the submission id; state advances by (attempt, rank), never backwards.';

CREATE TABLE events (
    tenant_id    uuid NOT NULL,
    day          date NOT NULL,
    event_id     text NOT NULL,
    delivery_id  text NOT NULL,
    kind         text NOT NULL,
    attempt      integer NOT NULL,
    at           timestamptz NOT NULL,
    body         jsonb NOT NULL,
    PRIMARY KEY (tenant_id, day, event_id)
) PARTITION BY RANGE (day);
CREATE INDEX events_of_delivery ON events (tenant_id, delivery_id);
COMMENT ON TABLE events IS 'writer: scheduler/record. The timeline; day is the UTC day of the submission id, so a repeated event meets its first copy.';

CREATE TABLE stats_daily (
    tenant_id          uuid NOT NULL,
    day                date NOT NULL,
    processed          bigint NOT NULL DEFAULT 0,
    delivered          bigint NOT NULL DEFAULT 0,
    deferred           bigint NOT NULL DEFAULT 0,
    bounces            bigint NOT NULL DEFAULT 0,
    blocks             bigint NOT NULL DEFAULT 0,
    drops              bigint NOT NULL DEFAULT 0,
    spam_reports       bigint NOT NULL DEFAULT 0,
    unknowns           bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
);
COMMENT ON TABLE stats_daily IS 'writer: scheduler/record. Counts by the UTC day of the event; moved only by events that were new.';

CREATE TABLE later (
    tenant_id    uuid NOT NULL,
    due_at       timestamptz NOT NULL,
    delivery_id  text NOT NULL,
    attempt      integer NOT NULL,
    why          text NOT NULL,
    source       text NOT NULL,
    site         text NOT NULL,
    job          bytea NOT NULL,
    lease_until  timestamptz,
    PRIMARY KEY (tenant_id, due_at, delivery_id, attempt)
) PARTITION BY RANGE (due_at);
CREATE INDEX later_due ON later (due_at);
COMMENT ON TABLE later IS 'writer: scheduler/later. The waiting room; partitioned by due hour; due and leased by database time.';

CREATE TABLE blobs (
    tenant_id      uuid NOT NULL,
    day            date NOT NULL,
    submission_id  text NOT NULL,
    n              integer NOT NULL,
    content        bytea NOT NULL,
    PRIMARY KEY (tenant_id, day, submission_id, n)
) PARTITION BY RANGE (day);
COMMENT ON TABLE blobs IS 'writer: api. Large content by reference, kept ten days; day is the UTC day of the submission id.';
ALTER TABLE blobs ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE webhook_endpoints (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    id           uuid NOT NULL DEFAULT gen_random_uuid(),
    url          text NOT NULL DEFAULT '',
    enabled      boolean NOT NULL DEFAULT false,
    kinds        text[] NOT NULL DEFAULT '{}',
    signed       boolean NOT NULL DEFAULT false,
    sealed_key   bytea,
    kek_kid      text NOT NULL DEFAULT '',
    public_key   text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE webhook_endpoints IS 'writer: api. kinds: SendGrid event names that are posted; sealed_key: P-256 key, AES-256-GCM bound to tenant and endpoint.';

CREATE TABLE webhook_batches (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    endpoint_id  uuid NOT NULL,
    body         bytea NOT NULL,
    tries        integer NOT NULL,
    due_at       timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    lease_until  timestamptz,
    last_error   text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_batches_due ON webhook_batches (due_at);
COMMENT ON TABLE webhook_batches IS 'writer: webhook-fanout. Posts that failed, kept for retry until expires_at; the same bytes each time.';

-- Partitions: a default one each, the rest made ahead by scheduler/upkeep through ensure_partitions().
CREATE TABLE messages_default PARTITION OF messages DEFAULT;
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE later_default PARTITION OF later DEFAULT;
CREATE TABLE blobs_default PARTITION OF blobs DEFAULT;

CREATE FUNCTION ensure_partitions(today date, days integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
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
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent, d, d + 1);
                made := made + 1;
            END IF;
        END LOOP;
        FOR h IN SELECT generate_series(d::timestamp AT TIME ZONE 'UTC', (d + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 hour', interval '1 hour') LOOP
            name := 'later_' || to_char(h AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
            IF to_regclass('public.' || name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF later FOR VALUES FROM (%L) TO (%L)', name, h, h + interval '1 hour');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION ensure_partitions IS 'Make the partitions of the day before today up to today + days; returns how many were missing.';

-- Who may do what. Passwords are set by `scaisend migrate`.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['scaisend_api', 'scaisend_scheduler', 'scaisend_deliverer', 'scaisend_bounce_inbound', 'scaisend_webhook_fanout'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of the cluster was faster
            END;
        END IF;
    END LOOP;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'api_keys', 'sender_domains', 'dkim_keys', 'suppressions', 'messages', 'events', 'stats_daily', 'later', 'blobs', 'webhook_endpoints', 'webhook_batches'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenants ON %I USING (tenant_id = ANY (app_tenants())) WITH CHECK (tenant_id = ANY (app_tenants()))', name);
    END LOOP;
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
    CREATE POLICY of_tenants ON tenants USING (id = ANY (app_tenants()));
END $$;

GRANT SELECT ON tenants, sender_domains, messages, events, stats_daily TO scaisend_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON suppressions, webhook_endpoints TO scaisend_api;
GRANT SELECT, INSERT ON blobs TO scaisend_api;
GRANT SELECT ON blobs, tenants TO scaisend_scheduler;
GRANT SELECT, INSERT, UPDATE ON suppressions, messages, events, stats_daily TO scaisend_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON later TO scaisend_scheduler;
GRANT SELECT ON tenants, sender_domains, dkim_keys, suppressions, blobs TO scaisend_deliverer;
GRANT SELECT ON messages, tenants TO scaisend_bounce_inbound;
GRANT SELECT ON tenants, webhook_endpoints, messages TO scaisend_webhook_fanout;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_batches TO scaisend_webhook_fanout;

-- Look-ups across tenants: one function each, and no more than it needs.
CREATE FUNCTION api_key_lookup(wanted text)
RETURNS TABLE (tenant_id uuid, scopes text[], mac bytea, pepper_kid text, stream text, tenant_state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
    SELECT k.tenant_id, k.scopes, k.mac, k.pepper_kid, k.stream, t.state
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.key_id = wanted AND k.revoked_at IS NULL
$$;

CREATE FUNCTION tenant_of_number(wanted integer) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT id FROM tenants WHERE number = wanted $$;

CREATE FUNCTION later_claim(most integer, lease interval)
RETURNS TABLE (tenant_id uuid, due_at timestamptz, delivery_id text, attempt integer, why text, job bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
    UPDATE later l SET lease_until = now() + lease
    FROM (
        SELECT c.tenant_id, c.due_at, c.delivery_id, c.attempt
        FROM later c
        WHERE c.due_at <= now() AND (c.lease_until IS NULL OR c.lease_until < now())
        ORDER BY c.due_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE l.tenant_id = due.tenant_id AND l.due_at = due.due_at AND l.delivery_id = due.delivery_id AND l.attempt = due.attempt
    RETURNING l.tenant_id, l.due_at, l.delivery_id, l.attempt, l.why, l.job
$$;
COMMENT ON FUNCTION later_claim IS 'Lease due rows, oldest first. A row whose lease ran out is claimed again: its job is then a repeat.';

CREATE FUNCTION webhook_batches_claim(most integer, lease interval)
RETURNS TABLE (tenant_id uuid, id uuid, endpoint_id uuid, body bytea, tries integer, expires_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
    UPDATE webhook_batches b SET lease_until = now() + lease
    FROM (
        SELECT c.tenant_id, c.id FROM webhook_batches c
        WHERE c.due_at <= now() AND (c.lease_until IS NULL OR c.lease_until < now())
        ORDER BY c.due_at LIMIT most FOR UPDATE SKIP LOCKED
    ) due
    WHERE b.tenant_id = due.tenant_id AND b.id = due.id
    RETURNING b.tenant_id, b.id, b.endpoint_id, b.body, b.tries, b.expires_at
$$;

REVOKE EXECUTE ON FUNCTION api_key_lookup, tenant_of_number, later_claim, webhook_batches_claim, ensure_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_key_lookup TO scaisend_api;
GRANT EXECUTE ON FUNCTION later_claim, ensure_partitions TO scaisend_scheduler;
GRANT EXECUTE ON FUNCTION tenant_of_number TO scaisend_bounce_inbound;
GRANT EXECUTE ON FUNCTION webhook_batches_claim TO scaisend_webhook_fanout;
