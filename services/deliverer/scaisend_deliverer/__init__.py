"""The deliverer: hands mail to the recipients' MX servers and says what became of it.

RECEIVES  `deliver.<group>.<shard>.<stream>` of the shards that it owns (JobBatch), `control` (Heartbeat, Flush)
WRITES    the ledger (claims and outcomes of attempts, in Redis)
PUBLISHES events, jobs that wait (`mail.later`), jobs for another shard (`mail.deliver`), `control` (Heartbeat)
FAILS     Broker away: what is under way ends and is published when it is back. Ledger away: first attempts go out after a look into
          Postgres, repeats wait. Postgres away: senders known for less than an hour go on, others wait; nothing goes out unsigned.
STANDARDS RFC 5321, 2920 (pipelining), 3207 (STARTTLS), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 7505 (null MX), 6376 (DKIM)

A mail's way through these files: deliverer (the heart) ← ready ← paths; senders, contents, mx, connections → session → dialogue;
ledger before the final dot; outcome, outbox after it. shards says which jobs are ours at all.
"""
