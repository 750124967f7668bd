"""What falls due with a reset sees the agent before it, in a whole run (the order of Nikishin et al. 2022's code)."""

from runs import pack
from runs.record import rows
from runs.snapshot import load

LINE = (
    *("--steps=102", "--seed=5", "--lr=1e-2", "--epsilon-decay=50", "--epsilon-eval=0"),  # learns to go right
    *("--eval-every=100,101", "--eval-episodes=2", "--probe-every=100,101", "--record-every=100"),
    *("--snapshot-every=100", "--save-every=100"),
)


def measured(run, step):
    """All that was recorded at a step but what the reset says of itself."""
    mine = [row for row in rows(run) if row["step"] == step and "event/reset" not in row]
    return {tag: x for row in mine for tag, x in row.items() if not tag.startswith("speed/")}


def test_an_evaluation_a_probe_and_a_snapshot_that_fall_due_with_a_reset_see_the_agent_before_it(command, tmp_path):
    assert command(*LINE, "--out=plain")[0] == 0
    assert command(*LINE, "--reset-every=100", "--out=reset")[0] == 0
    plain, reset = tmp_path / "plain", tmp_path / "reset"
    assert [row["step"] for row in rows(reset) if "event/reset" in row] == [100]
    before, after = measured(reset, 100), measured(reset, 101)
    assert before == measured(plain, 100)
    assert {"return/eval", "loss/q", "probe/norm/distance"} <= before.keys()
    parts = [load(run / "snapshots/000000100")[0]["parts"] for run in (plain, reset)]
    assert pack.digest(parts[0]) == pack.digest(parts[1])
    assert (before["return/eval"], after["return/eval"]) == (1, 0)  # a step later the evaluation sees the new weights
    assert measured(plain, 101)["return/eval"] == 1
    assert before["probe/norm/distance"] < after["probe/norm/distance"] / 2  # from the first weights
