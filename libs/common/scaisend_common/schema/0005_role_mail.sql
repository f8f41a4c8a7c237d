-- Mail to postmaster and abuse (RFC 5321 4.5.1, RFC 2142) that is no report about a mail of ours: kept for the operator to read.
CREATE TABLE role_mail (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at  timestamptz NOT NULL DEFAULT now(),
    peer         text NOT NULL,
    raw          bytea NOT NULL
);
COMMENT ON TABLE role_mail IS 'writer: bounce-inbound, through keep_role_mail(). Of no tenant; the operator reads it with scaisend postmaster.';

CREATE FUNCTION keep_role_mail(peer text, raw bytea) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
    DELETE FROM role_mail WHERE received_at < now() - interval '30 days'
        OR id <= (SELECT max(id) FROM role_mail) - 10000;
    INSERT INTO role_mail (peer, raw) VALUES (peer, raw);
$$;
COMMENT ON FUNCTION keep_role_mail IS 'Keep a mail to a role account for 30 days, the newest 10,000 at most: strangers decide how many come.';
REVOKE EXECUTE ON FUNCTION keep_role_mail FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_role_mail TO scaisend_bounce_inbound;
