"""Golden traces: losses of 200 updates of small runs, kept beside this file. `python -m tests.golden.traces` remakes
them: do so only when a change of the numbers is meant, and say why in the commit."""

import json
from pathlib import Path

import torch

from tests.laws.members import switched_on, taken

UPDATES = 200
ALL = [flag for m in ("optreset", "redo", "reset", "shrink") for flag in switched_on(m)]
HERE = Path(__file__).parent
CASES = {
    "chain": ("dqn", "toy:chain", []),
    "chain-double-mse": ("dqn", "toy:chain", ["--double", "--loss=mse", "--head=dueling"]),
    "cartpole-rmsprop": ("dqn", "CartPole-v1", ["--optimizer=rmsprop", "--clip=1"]),
    "catch": ("dqn", "toy:catch", []),
    "catch-layer-crelu-ema": ("dqn", "toy:catch", ["--norm=layer", "--activation=crelu", "--target-tau=0.01"]),
    "catch-all-methods": ("dqn", "toy:catch", ALL),
    "reach-sac": ("sac", "toy:reach", []),
    "reach-sac-simba": ("sac", "toy:reach", ["--critic-net=simba", "--actor-net=bro", "--actor-every=2", "--lr=1e-4"]),
    "reach-sac-all-methods": ("sac", "toy:reach", ALL),
    "labels-mlp": ("classifier", "labels:generated", []),
    "labels-cnn": ("classifier", "labels:generated", ["--net=cnn", "--norm=layer"]),
    "labels-vit-two-hot": ("classifier", "labels:generated", ["--net=vit", "--qk-norm", "--loss=two_hot", "--depth=1"]),
    "bits-all-methods": ("classifier", "drift:bits", ["--loss=mse", *ALL]),
}


def losses(name: str, env: str, flags: list[str]) -> list[float]:
    """The loss of every part at each of the first 200 updates."""
    world, agent = taken(name, env, *flags)
    row = []
    world.begin()
    for _ in world.loop(agent):
        agent.chain.tick()
        while agent.owed() > 0:
            agent.update()
            row += [x for tag, x in agent.metrics().items() if tag.startswith("loss/")]
            if agent.clock["updates"] >= UPDATES:
                return row


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case, line in CASES.items():
        (HERE / f"{case}.json").write_text(json.dumps(losses(*line)) + "\n")
