-- What stands against recipients, asked on the way of every mail: as one statement it is one round trip and not four, each of which
-- waits for its turn on a busy machine. Row-level security holds: the function runs as its caller and sets the tenants of the statement.

CREATE FUNCTION barred(tenants uuid[], addresses text[]) RETURNS TABLE (tenant_id uuid, address text, kind text)
LANGUAGE plpgsql SET search_path = public AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('app.tenants', tenants::text, true);
    RETURN QUERY
    SELECT s.tenant_id, s.address, s.kind
    FROM unnest(tenants, addresses) AS r (tenant_id, address)
    JOIN suppressions s ON s.tenant_id = r.tenant_id AND s.address = r.address
    UNION ALL
    SELECT t.id, NULL, NULL FROM tenants t WHERE t.id = ANY (tenants) AND t.state = 'suspended';
END $$;
COMMENT ON FUNCTION barred IS 'Suppressions of these (tenant, address), and with neither address nor kind the tenants that are suspended.';

REVOKE EXECUTE ON FUNCTION barred FROM PUBLIC;
GRANT EXECUTE ON FUNCTION barred TO scaisend_scheduler;
