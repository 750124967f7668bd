"""What must learn, does (`make learn`): minutes, not seconds."""

import numpy as np
import pytest
import torch

from agents.build import build
from agents.dqn import DQN, DQNConfig
from agents.flags import parse
from agents.main import run
from envs.toy import chain_q_star
from runs.record import rows

pytestmark = pytest.mark.slow


def test_dqn_solves_cartpole(tmp_path):
    """Mean of 20 whole games at least 475 (gymnasium's own threshold) at the last evaluation of the classic preset."""
    assert run(DQN, DQNConfig, ["--env=CartPole-v1", f"--out={tmp_path}"]) == 0
    scores = [row["return/eval"] for row in rows(tmp_path) if "return/eval" in row]
    assert scores[-1] >= 475, scores


@pytest.mark.parametrize("loss", ["mse", "hl_gauss", "two_hot"])
def test_q_learning_on_the_chain_reaches_the_analytic_values(loss):
    """Five states, one-hot input, no hidden layer: Q* to 1e-2."""
    flags = "--env=toy:chain --preset=none --hidden --gamma=0.9 --lr=1e-2 --eps=1e-8 --batch-size=64 --replay-ratio=1"
    flags += " --warmup=500 --capacity=5k --target-every=100 --epsilon-start=1 --epsilon-final=1"
    flags += f" --loss={loss}" + ("" if loss == "mse" else " --value-range -0.5 1.5 --lr=3e-2")
    world, agent = build(DQN, parse("dqn", DQNConfig, flags.split()))
    world.begin()
    for _ in world.loop(agent):
        while agent.owed() > 0:
            agent.update()
        if agent.clock["steps"] >= 6_000:
            break
    with torch.no_grad():
        q = agent.goal.values(agent.parts["q"].net(torch.eye(5))).numpy()
    star = chain_q_star(0.9)
    np.testing.assert_allclose(q[:-1], star[:-1], atol=1e-2)  # nobody acts at the right end
