"""sendmail(1) and the maildrop: mail from programs of this host, with or without a running daemon.

command     sendmail(1), mailq(1), newaliases(1)
options     its command line
extract     recipients and sender out of the header (sendmail -t)
maildrop    the durable drop: one file a message in queue_directory/maildrop
pickup      pickup(8): from the maildrop through cleanup into the queue
submission  to the running daemon by SMTP, for users who may not write into the maildrop
standalone  SMTP on standard input (sendmail -bs)
"""
