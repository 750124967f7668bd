"""BBF whole, on the real game, at a quarter of its width: `make slow` (the full network takes a day a game)."""

import pytest
import torch

from agents.bbf import BBF, BBFConfig
from agents.main import run
from runs.checkpoint import load
from runs.record import rows

SMALL = "--width .25 --batch-size 8 --spr-steps 2 --capacity 4k --probe-every 1k --save-every 1k --record-every 100"
TWICE = "1200,1600"


@pytest.mark.slow
def test_two_thousand_steps_of_pong_with_two_resets(tmp_path):
    line = f"--env Pong --preset rr2 {SMALL} --steps 2k --warmup 1k --reset-every {TWICE} --shrink-every {TWICE}"
    line += f" --eval-every 2k --eval-episodes 1 --anneal-updates 500 --out {tmp_path / 'run'}"
    assert run(BBF, BBFConfig, line.split()) == 0
    found = list(rows(tmp_path / "run"))
    for event in ("event/reset", "event/shrink"):
        assert [row["step"] for row in found if row.get(event) == 1] == [1200, 1600]
    losses = {row["step"]: row["loss/spr"] for row in found if "loss/spr" in row}
    assert losses[1200] < losses[1100] and losses[2000] < losses[1700]  # the model learns to predict, again and again
    assert [row["step"] for row in found if "hns/eval" in row] == [2000]
    state = load(tmp_path / "run").state["agent"]
    assert state["parts"]["q"]["age"] == 800 == 2 * (2000 - 1600)
    assert all(bool(torch.isfinite(x).all()) for x in state["parts"]["q"]["net"].values())
    assert (tmp_path / "run" / "run.png").exists()
