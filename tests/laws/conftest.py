"""The probes that train copies make few updates here: the laws ask what they touch, not what they find."""

import pytest

from probes import trainability


@pytest.fixture(autouse=True)
def few_updates(monkeypatch):
    monkeypatch.setattr(trainability, "UPDATES", 6)
