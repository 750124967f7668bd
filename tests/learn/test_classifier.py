"""Random labels drawn again and again (`make learn`): a plain network stops learning, a layer norm holds longer."""

import pytest

from agents.classifier import Classifier, ClassifierConfig
from agents.main import run
from runs.record import rows

pytestmark = pytest.mark.slow


def accuracies(path, *flags):
    """Mean accuracy while learning of each task; five tasks of 7,500 minibatches."""
    line = ["--env=labels:mnist", "--steps=37.5k", "--probe-every=never", f"--out={path}", *flags]
    assert run(Classifier, ClassifierConfig, line) == 0
    return [row["task/accuracy"] for row in rows(path) if "task/number" in row]


def test_a_plain_network_collapses_over_random_labels_and_a_layer_norm_holds(tmp_path):
    plain, normed = accuracies(tmp_path / "plain"), accuracies(tmp_path / "normed", "--norm=layer")
    assert plain[0] > 0.8, plain
    assert plain[-1] < 0.3, plain
    assert min(normed) > 0.8, normed
