"""What a TLS server would agree to, found by its answer to a ClientHello: also what no TLS library speaks any more.

Sans-I/O: a `Hello` becomes octets, a `Flight` takes the octets of the answer. Nothing is ever computed with them: the
handshake is given up once the server has chosen. Only `renegotiates` needs a connection and goes to the end of it.

    hello = Hello(Version.TLSv1_2, suites=(0xC02F, 0x0005), server_name="mail.example.org")
    send(hello.octets())
    flight = Flight()
    while not flight.done and (octets := receive()):
        flight.feed(octets)
    flight.answer.suite, flight.answer.alert
"""

from tls.probe.flight import Answer, Flight, FlightError
from tls.probe.hello import Hello, ssl2_hello
from tls.probe.renegotiation import renegotiates
from tls.probe.suites import SUITES, TLS13, Weakness, name_of, weaknesses

__all__ = [
    "SUITES",
    "TLS13",
    "Answer",
    "Flight",
    "FlightError",
    "Hello",
    "Weakness",
    "name_of",
    "renegotiates",
    "ssl2_hello",
    "weaknesses",
]
