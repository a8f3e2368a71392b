from collections.abc import Iterator

import pytest

from corral.client.client import Client
from tests.unit.client.fake_api import FakeApi, serving


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving(FakeApi()) as running:
        yield running


@pytest.fixture
def client(api: FakeApi) -> Iterator[Client]:
    with Client(api.url, "corral_tok-1_secret", retry_s=5.0) as client:
        yield client
