"""bounce(8), defer(8) and trace(8): delivery status notifications (RFC 3464, RFC 3461), worded as Postfix words them.

templates   the texts, built in or from bounce_template_file (bounce(5))
report      one notification as a message
notices     which notifications a finished or waiting message needs, and to whom they go
"""
