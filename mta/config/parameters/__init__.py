"""The parameter table of Postfix 3.7: every name declared once, in files by subject; own names begin with hardmail_."""

from collections.abc import Mapping
from types import MappingProxyType

from mta.config.parameter import Parameter
from mta.config.parameters import (
    access,
    address,
    client,
    client_security,
    content,
    delivery,
    hardmail,
    milter,
    postscreen,
    processes,
    queue,
    sasl,
    smtpd,
    tls,
    tlsproxy,
    verify,
)
from mta.config.parameters.transports import BUILT_IN, service_parameter

_SUBJECTS = (
    access,
    address,
    client,
    client_security,
    content,
    delivery,
    hardmail,
    milter,
    postscreen,
    processes,
    queue,
    sasl,
    smtpd,
    tls,
    tlsproxy,
    verify,
)

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {parameter.name: parameter for parameter in (*(p for s in _SUBJECTS for p in s.PARAMETERS), *BUILT_IN)}
)

__all__ = ["PARAMETERS", "service_parameter"]
