"""The durable queue: accepted mail is on the disk before anyone says `250`.

Interface for those who accept mail (smtpd, pickup, bounce):

    queue = Queue.open(queue_directory, QueueOptions(long_ids=..., minfree=...))
                                        # or Queue.from_config(config); once per process, after the fork; cheap
    queue_id = queue.new_id()           # before put: it stands in the Received header and in the 250 text
    await queue.put(NewMessage(sender, [Recipient(address, original, orcpt, notify)], content, queue_id=queue_id, ...))
                                        # returns queue_id when durable; many callers share one fsync
    queue.put_blocking(message)         # the same without an event loop (tools)
    queue.check_space(size)             # MAIL FROM SIZE=: raises QueueFull if queue_minfree forbids it
    queue.close()                       # what was put before is written first

    QueueFull   .reply "452 4.3.1 Insufficient system storage"      nothing was kept
    QueueRefused .reply "554 5.6.0 Error: message cannot be stored" nothing was kept, nor ever will be
    QueueError  .reply "451 4.3.0 Error: queue file write error"    nothing was kept; str(error) is for the log

`content` is CRLF, not dot-stuffed. After `put` the queue manager is woken through `public/qmgr`.

Interface for whoever starts the services, as root:

    mta.queue.layout.prepare(queue_directory, uid, gid)  # makes and owns every directory below, 0700
    mta.queue.service.prepare(config, sockets)           # the queue manager with its delivery agents
"""

from mta.queue.errors import ForeignQueue, QueueError, QueueFull, QueueLocked, QueueRefused
from mta.queue.message import NewMessage, Notify, QueuedMessage, QueuedRecipient, QueueName, Recipient
from mta.queue.store import Queue, QueueOptions

__all__ = [
    "ForeignQueue",
    "NewMessage",
    "Notify",
    "Queue",
    "QueueError",
    "QueueFull",
    "QueueLocked",
    "QueueName",
    "QueueOptions",
    "QueueRefused",
    "QueuedMessage",
    "QueuedRecipient",
    "Recipient",
]
