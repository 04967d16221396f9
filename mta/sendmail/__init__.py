"""sendmail(1) and the maildrop: mail from programs of this host, with or without a running daemon.

maildrop    the durable drop: one file a message in queue_directory/maildrop
pickup      pickup(8): from the maildrop through cleanup into the queue
command     sendmail(1), mailq(1), newaliases(1)
extract     recipients and sender out of the header (sendmail -t)
"""
