"""Law 4. Anatomy tells the truth: nudging unit u changes exactly the columns its edges name, at their readers."""

from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from replay.batch import labelled
from tests.laws.members import AGENTS, case, combinations, homes, taken
from tests.nets.nudge import edges_tell_the_truth, every_matrix_is_listed_once

VARIANTS = [case(a, e, n) for a in AGENTS for e in homes(a) for n in combinations(a)]


def heads(name):
    return [["--head=linear"], ["--head=dueling"]] if "head" in {f.name for f in fields(AGENTS[name][1])} else [[]]


def some(world, agent):
    """A batch of what the agent meets first."""
    world.begin()
    if world.now is None:
        return agent.view(np.random.default_rng(0)).batch(2)
    obs, space = torch.as_tensor(world.now.observation), agent.spec.action
    action = np.stack([np.asarray(space.sample(), np.int64 if isinstance(space, Discrete) else np.float32)] * len(obs))
    return labelled(obs, torch.as_tensor(action))


@pytest.mark.parametrize(("name", "env", "flags"), VARIANTS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(name, env, flags):
    for head in heads(name):
        made = taken(name, env, *flags, *head)
        if made is None:
            continue
        batch = some(*made)
        agent = made[1]
        for which, part in agent.parts.items():
            edges_tell_the_truth(part.net, call=partial(agent.run, which, batch))


@pytest.mark.parametrize(("name", "env", "flags"), VARIANTS)
def test_every_matrix_writes_private_units_or_a_shared_stream_or_the_output(name, env, flags):
    if made := taken(name, env, *flags):
        for part in made[1].parts.values():
            every_matrix_is_listed_once(part.net)
