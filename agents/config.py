"""The flags that every agent has: running, learning, network. A field is a flag, its docstring the help."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

from agents.schedules import annealed_gamma, annealed_n
from envs.atari import AtariSettings
from envs.make import GameSettings
from envs.streams import StreamSettings
from nets.encoders import NetConfig
from nets.optim import OptimConfig
from probes import chosen
from runs.units import NEVER, Count, Duration, Every, Period, broken


@dataclass(frozen=True)
class RunConfig:
    """The run"""

    env: str = "MontezumaRevenge"
    """Pong (any Atari game), CartPole-v1, HalfCheetah, dmc:walker-walk, labels:mnist; in turn: Pong,Breakout@mode=4"""
    steps: Count = 10_000_000
    """Agent steps in all, of all environments; a finished run goes on if this grows (CleanRL: 10M)"""
    seed: int = 0
    """Every generator is spawned from it by name"""
    num_envs: int = 1
    """Environments stepped in turn; changes neither the replay ratio nor the schedules"""
    preset: str = ""
    """Sets agent and environment flags; by default the one of the environment's family"""
    config: str = ""
    """TOML file of flags with underscores, or a run's config.json; typed flags win over it"""
    root: str = "results"
    """Where runs are kept: ROOT/<env>/<agent+interventions>/<seed>-<hash>"""
    out: str = ""
    """The run directory itself, instead of one under --root"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps; auto takes a GPU if there is one"""
    max_time: Duration = 0
    """Save and stop with exit code 75 after this long, e.g. 30m, 2h or 90 (seconds); 0 for no limit"""
    save_every: Every = Period(50_000)
    """Checkpoint period in agent steps; the same command line continues from the last one"""
    snapshot_every: Every = NEVER
    """Keep networks and replay states for later probes, in agent steps"""
    snapshot_optim: Literal["yes", "no"] = "yes"
    """Whether snapshots hold the optimizer's state too"""
    eval_every: Every = Period(250_000)
    """Evaluation period in agent steps; always the same seeds (Dopamine: 250k)"""
    eval_episodes: int = 10
    """Whole games per evaluation, with raw scores"""
    probe_every: Every = Period(10_000)
    """Period of --probes in agent steps"""
    probes: str = "cheap"
    """cheap; mid: ranks, drift ... too; all; or names, e.g. dormant,norm (docs/probes.md lists them)"""
    deep_every: Every = NEVER
    """Period of --deep-probes in agent steps"""
    deep_probes: str = "all"
    """As --probes: what is too dear for --probe-every"""
    probe_batch: int = 512
    """Replay states per probe (ours: 512; fewer units are dead on more states)"""
    record_every: Every = Period(1_000)
    """Period of loss and speed rows in agent steps"""

    def problems(self) -> list[str]:
        rules = {
            "seed": (self.seed >= 0, "at least 0"),
            **{k: (getattr(self, k) > 0, "at least 1") for k in ("steps", "eval_episodes", "probe_batch")},
        }
        periods = ("save_every", "snapshot_every", "eval_every", "probe_every", "deep_every", "record_every")
        rules |= {k: (getattr(self, k).unit == "steps", "in agent steps, e.g. 10k") for k in periods}
        return broken(self, rules) + unknown(self.probes) + unknown(self.deep_probes)


def unknown(probes: str) -> list[str]:
    """What is wrong with a list of probes."""
    try:
        chosen(probes)
    except ValueError as error:
        return [str(error)]
    return []


# On resume: these may change, --steps may grow, everything else is frozen (docs/reliability.md, section 2), as are
# those of them that decide a number which a method acts on.
FREE = {
    *("preset", "config", "root", "out", "device", "max_time", "save_every", "snapshot_every", "snapshot_optim"),
    *("eval_every", "eval_episodes", "probe_every", "probes", "deep_every", "deep_probes", "probe_batch"),
    "record_every",
}

# Tags that a condition may wait for, beside probes; all below those that end in a slash. For each, the free settings
# that decide when it is measured, and of what.
EVALUATED = ("eval_every", "eval_episodes")
PROBED = ("probe_every", "probes", "probe_batch", "deep_every", "deep_probes")
RECORDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("return/train", "return/visit/", "hns/train", "length/train", "visit/", "task/"), ()),
    **dict.fromkeys(("return/eval", "hns/eval", "eval/"), EVALUATED),
    **dict.fromkeys(("loss/", "grad/", "q/", "policy/", "accuracy", "clock/", "event/"), ("record_every",)),
}


def deciding(tag: str) -> tuple[str, ...]:
    """The free settings that decide a number: of evaluations, of records, of nothing; else it is a probe's."""
    return next((names for t, names in RECORDED.items() if tag == t or (t[-1] == "/" and tag.startswith(t))), PROBED)


@dataclass(frozen=True)
class LearnConfig:
    """Learning"""

    batch_size: int = 32
    """Transitions or examples per update (DQN 32, Mnih et al. 2015; SAC 256, Haarnoja et al. 2018)"""
    optim: OptimConfig = OptimConfig()

    def problems(self) -> list[str]:
        return broken(self, {"batch_size": (self.batch_size > 0, "at least 1")}) + self.optim.problems()


@dataclass(frozen=True)
class RLConfig:
    """Replay and targets"""

    replay_ratio: float = 0.25
    """Updates per agent step; 0.25 is one update every 4 steps (Mnih et al. 2015)"""
    warmup: Count = 20_000
    """Agent steps before the first update, and again after the replay was emptied (Dopamine: 20k)"""
    capacity: Count = 1_000_000
    """Frames kept in the replay: one per agent step and one per episode; 7.1 GB for 1M of Atari (Mnih et al. 2015)"""
    gamma: float = 0.99
    """Discount per agent step (Mnih et al. 2015)"""
    n_step: int = 1
    """Rewards summed before bootstrapping (Dopamine DQN: 1)"""
    n_step_start: int = 0
    """n at the start of each cycle, which falls to --n-step by equal factors (BBF, arXiv:2305.19452: 10); 0: none"""
    gamma_start: float = 0.0
    """The discount at the start of each cycle, from which 1 - gamma falls likewise (BBF: .97); 0: none"""
    anneal_updates: Count = 10_000
    """Updates since the last reset after which both have arrived (BBF: 10k)"""
    target_every: Every = Period(8_000)
    """How often the slow network follows: 8k (agent steps) or 2k:updates (Dopamine: 8k; SAC: 1:updates)"""
    target_tau: float = 1.0
    """1 copies the weights at once; less moves them by this fraction (BBF, SAC: .005 with --target-every 1:updates)"""
    priority_exponent: float = 0.0
    """Transitions are drawn in proportion to |td|^this (dqn_zoo's Rainbow: .5); 0 is uniform (Mnih et al. 2015)"""
    priority_weight: float = 0.5
    """Exponent of the importance weights (Dopamine: .5; Schaul et al. 2016 begin with .4)"""
    priority_weight_final: float = 1.0
    """What that exponent is in the end, with --priority-anneal (Schaul et al. 2016: 1)"""
    priority_anneal: Count = 0
    """Agent steps until then (Rainbow, arXiv:1710.02298: the whole run); 0 leaves the exponent as it is (Dopamine)"""
    nstep_compat: Literal["", "dopamine_spr"] = ""
    """dopamine_spr: the off-by-one of Dopamine's SPR and BBF buffers, for comparison with published runs only"""
    holdout: float = 0.0
    """Share of episodes that are stored but never learned from, for probe/generalisation (ours: .05 where it is asked
    for)"""
    norm_obs: bool = False
    """Whether observations are shifted and scaled by their running mean and deviation (SimBa, arXiv:2410.09754)"""

    def problems(self) -> list[str]:
        rules = {
            **{k: (getattr(self, k) > 0, "at least 1") for k in ("warmup", "n_step")},
            "replay_ratio": (0 <= self.replay_ratio < inf, "at least 0"),
            "capacity": (self.capacity > 1, "at least 2"),
            "target_every": (self.target_every.unit in ("steps", "updates"), "in steps or updates, e.g. 8k"),
            "priority_exponent": (0 <= self.priority_exponent <= 1, "from 0 to 1"),
            **{k: (0 <= getattr(self, k) <= 1, "from 0 to 1") for k in ("priority_weight", "priority_weight_final")},
            "n_step_start": (self.n_step_start >= 0, "at least 0"),
            "gamma_start": (0 <= self.gamma_start < 1, "from 0 to below 1"),
            "gamma": (0 <= self.gamma <= 1, "from 0 to 1"),
            "holdout": (0 <= self.holdout < 1, "from 0 to below 1"),
            "target_tau": (0 < self.target_tau <= 1, "above 0 and at most 1"),
        }
        return broken(self, rules) + list(self.misplaced())

    def misplaced(self) -> Iterator[str]:
        """A sentence for each flag that would do nothing."""
        if not self.priority_exponent and (self.priority_weight != 0.5 or self.priority_anneal):
            yield "priority_weight and priority_anneal do nothing without --priority-exponent, e.g. .5"
        if not self.priority_anneal and self.priority_weight_final != 1:
            yield "priority_weight_final does nothing without --priority-anneal, e.g. 50M"
        if not self.cycles and self.anneal_updates != RLConfig.anneal_updates:
            yield "anneal_updates does nothing where n and gamma stay as they are; give --n-step-start or --gamma-start"

    @property
    def cycles(self) -> bool:
        """Whether n or gamma change in the updates that follow each reset."""
        return self.n_step_start not in (0, self.n_step) or self.gamma_start not in (0, self.gamma)

    def window(self, updates: int) -> tuple[int, float]:
        """n and gamma, so many updates after the last reset."""
        n, gamma, over = self.n_step, self.gamma, self.anneal_updates
        return (
            annealed_n(updates, self.n_step_start, n, over) if self.n_step_start else n,
            annealed_gamma(updates, self.gamma_start, gamma, over) if self.gamma_start else gamma,
        )


@dataclass(frozen=True)
class AgentConfig:
    """What every agent's config has: fields are flags. presets: {name: (families of environments, {flag: value})}."""

    presets: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = {}
    home: ClassVar[str] = "MontezumaRevenge"  # the environment if none is named
    world: ClassVar[type[GameSettings | StreamSettings]] = AtariSettings  # how its environments are set

    learn: LearnConfig = LearnConfig()
    rl: RLConfig = RLConfig()
    net: NetConfig = NetConfig()

    def problems(self) -> list[str]:
        """Every setting that is out of range, a sentence each."""
        return self.learn.problems() + self.rl.problems() + self.net.problems()
