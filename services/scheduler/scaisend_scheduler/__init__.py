"""The scheduler: what a mail meets between the API and the deliverer, and where its timeline is written.

Four roles that can be started apart (`SCAISEND_ROLES`):

    route    RECEIVES submissions (mail.submit)         PUBLISHES jobs (mail.deliver, mail.later), processed and dropped events
    later    RECEIVES jobs that wait (mail.later)       WRITES the table later; PUBLISHES due jobs (mail.deliver)
    record   RECEIVES events                            WRITES events, messages, stats_daily, suppressions, and stops (ledger)
    upkeep   keeps partitions and the ledger's stops    WRITES partitions, stops (ledger)

FAILS without the broker or Postgres by waiting: nothing is acked before what follows from it is confirmed or committed.
"""
