-- A delivery's events lie together: their key begins with it, and the index that only found them goes. Ids of deliveries grow with time, so
-- the key grows at its end. With bodies that no longer repeat what columns say, an event takes 420 instead of 940 bytes and 14.6 instead
-- of 20.7 µs of Postgres. Bodies of before stay as they are and are read as before. No release was made with the former key.
ALTER TABLE events DROP CONSTRAINT events_pkey;
ALTER TABLE events ADD PRIMARY KEY (tenant_id, day, delivery_id, event_id);
DROP INDEX events_of_delivery;
COMMENT ON COLUMN events.body IS 'What this kind of event says beyond the columns here, and email, origin and message_id, which its message has.';
COMMENT ON COLUMN messages.origin IS 'What the sender said of the message; from_email and subject have columns of their own.';
