"""One suite for everything that is a storage manager."""

import pytest

pytest.register_assert_rewrite("tests.contract.suite")
