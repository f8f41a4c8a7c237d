"""RabbitMQ as the services see it: a publisher that is confirmed, consumers that cannot forget to settle. No mail in here.

Handlers return Ack, Retry or Park. `publish` returns when the broker has confirmed, or raises one of the three errors; it never
hangs: each is bounded by `timeout`. Many publishes are in flight at once; awaiting them one by one is 8 to 18 times slower.
Publishing and consuming use separate connections: a broker in alarm stops reading from connections that publish, acks and all.
`declare` is a module to be imported by itself: it alone loads aio-pika.
"""

from __future__ import annotations

from scaisend_common.plumbing.amqp.batchconsumer import BatchConsumer
from scaisend_common.plumbing.amqp.check import check_declared
from scaisend_common.plumbing.amqp.consumer import Consumer
from scaisend_common.plumbing.amqp.control import ControlListener
from scaisend_common.plumbing.amqp.exclusive import ExclusiveQueues
from scaisend_common.plumbing.amqp.publisher import Publisher
from scaisend_common.plumbing.amqp.settlement import Ack, Incoming, Park, Refused, Retry, Settlement, Unavailable, Unroutable

__all__ = [
    "Ack",
    "BatchConsumer",
    "Consumer",
    "ControlListener",
    "ExclusiveQueues",
    "Incoming",
    "Park",
    "Publisher",
    "Refused",
    "Retry",
    "Settlement",
    "Unavailable",
    "Unroutable",
    "check_declared",
]
