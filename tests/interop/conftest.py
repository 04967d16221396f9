"""The laboratory that real peers talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.behaviours.stack import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A hardened laboratory of this test's own."""
    async with Lab.start() as running:
        yield running
