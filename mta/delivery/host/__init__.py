"""Delivery on this host: local(8), virtual(8), pipe(8), as the recipient and never as root.

The queue manager asks over a socket (agent, link); a process of its own, which can become other users, delivers
(service). For every mailbox, file or command it forks a child that is the recipient before it touches anything.

agent         reports become results, log lines and forwarded messages      in the queue manager
link          request and reports on the wire; Remote
forwarder     forwarded mail back into the queue
split         `transport:nexthop`
service       the process
build         a deliverer for a line of master.cf
report        Report, Step, Forward, Handover: what came of a recipient
local         local(8): one recipient on his way through aliases
expansion     aliases, .forward, :include:
destinations  the right-hand side of an alias
final         mailbox, file, command, other transports, unknown users
state         where in an expansion we are
localsettings parameters and tables of local(8)
virtual       virtual(8)
pipe          pipe(8)
rights        acting as another user
mailbox       appending to a mailbox with locks
maildir       one file a message
command       running a command
copy          From_ line, Return-Path, Delivered-To
"""
