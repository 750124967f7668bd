"""The folder is walked: each file is one measurement, named by it."""

from probes import measurements
from probes.base import Probe


def test_every_file_is_one_measurement_by_its_name():
    found = measurements()
    assert list(found) == sorted(found)
    assert {"dormant", "norm"} <= set(found)
    assert all(isinstance(probe, Probe) and probe.name() == name for name, probe in found.items())
