"""The fake API server does what the operator relies on in a real one."""

from contextlib import nullcontext

import pytest

from tests.contract.server import Connect, ServerContract
from tests.unit.controller.fake_api import FakeApi


class TestFakeApi(ServerContract):
    @pytest.fixture
    def connect(self) -> Connect:
        return lambda: nullcontext(FakeApi())

    @pytest.fixture
    def namespace(self) -> str:
        return "runners"
