"""Tests that draw tasks of dm_control are skipped, with the sentence that says what to install, where none can be."""

import pytest

from envs.camera import screen


def lacking() -> str:
    try:
        screen()
    except ValueError as error:
        return str(error)
    return ""


LACKING = lacking()
drawn = pytest.mark.skipif(bool(LACKING), reason=LACKING)
