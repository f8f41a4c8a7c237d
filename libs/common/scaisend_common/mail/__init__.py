"""Decisions about mail, without I/O, clock or dice. The words:

submission      one accepted `POST /v3/mail/send`; its id is `X-Message-Id`
message         one personalization of a submission: one set of headers and content
delivery        one recipient copy of a message: the unit of work and of the timeline
attempt         one try to hand one delivery to a remote server; (delivery, attempt) keys all that happens to it
source          an egress identity: local IP or none, EHLO name; belongs to an egress group
site            the limit domain: a provider, or the folded set of MX hosts
path            (source, site): what limits and back-off belong to
shard           hash(path, slot) within the egress group; one deliverer works a shard at a time
stream          transactional or bulk: streams never share a queue
verdict         what an attempt came to: Delivered, Deferred, Bounced, Unknown
event           a fact that the customer may see
stop            a mark saying that an address, batch, delivery or tenant must not be sent to any more
later           the one waiting room
"""
