"""QDagger (Agarwal et al. 2022, arXiv:2206.01626): first learn from another run's replay, then imitate it ever less.

L_TD + 3 lambda_t KL(softmax(Q_T / .1) || softmax(Q_S / .1)), the mean over a batch. Before the first online update
--qdagger-updates extra updates are made on the teacher's own replay with lambda 1, each with a safe point behind it:
a run that is stopped among them continues there. Then lambda_t = max(1 - G_S / G_T, 0), exactly 0 from --qdagger-until
agent steps on. G is human-normalised where the teacher recorded that (hns/eval), else the raw return, with lambda at
most 1. G_T is the teacher's last evaluation; G_S is ours, or by --qdagger-score train the mean of our last 10 games
(CleanRL), of those that end between two updates the last one. lambda is 1 before the first evaluation or the tenth
game: a run whose first evaluation is at its last step, as in the presets of Atari-100k, is refused. Our lambda may rise
again, in the paper's code it stays at 0 once there. The paper's annealed learning rate is left out. n is the agent's:
the paper has 3.

The teacher is kept out of our checkpoints and compared as in kickstart.py. The paper's 10 rounds of 100k offline
updates take DQN on Atari hours on a CPU: a plain one is 20 ms (docs/performance.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Literal

from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.imitation import called, examined, policy_gap, pupils
from nets.subject import Loss, Subject, Teacher
from replay.batch import Batch
from runs.units import Count, broken

GAMES = 10  # of which qdagger_score train takes the mean (CleanRL)


@dataclass(frozen=True)
class QDagger(Intervention):
    """QDagger: offline on another run's replay, then imitate it until as good (Agarwal et al. 2022)"""

    reach = Reach.LEARNING
    touches = "weights, optimizer, target by updates; the loss"
    clashes = (
        "runs of another agent, game or network: of `infer`, `injection`, `--parseval-diagonal`, `popart` and "
        "`specnorm` both have the same; runs without a score above 0 or evaluations; `--norm-obs`; learners on data"
    )

    qdagger_from: str = ""
    """Directory of the run that teaches; it needs evaluations of a return above 0 (Agarwal et al. 2022)"""
    qdagger_updates: Count = 1_000_000
    """Updates on the teacher's replay before the first online one (Agarwal et al. 2022: 10 rounds of 100k)"""
    qdagger_weight: float = 3.0
    """Factor on lambda times the imitation (Agarwal et al. 2022: 3; CleanRL: 1)"""
    qdagger_temperature: float = 0.1
    """T of both policies (Agarwal et al. 2022: .1; CleanRL: 1)"""
    qdagger_until: Count = 1_500_000
    """Agent steps from which on lambda is 0 (Agarwal et al. 2022: 1.5M)"""
    qdagger_score: Literal["eval", "train"] = "eval"
    """Our return in lambda: the last evaluation (Agarwal et al. 2022), or the mean of the last 10 games (CleanRL)"""

    @property
    def unexamined(self) -> str:
        return "evaluate earlier, or take --qdagger-score train" if self.qdagger_score == "eval" else ""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "qdagger_updates": (self.qdagger_updates >= 0, "at least 0"),
            "qdagger_weight": (0 <= self.qdagger_weight < inf, "at least 0"),
            "qdagger_temperature": (0 < self.qdagger_temperature < inf, "above 0"),
        }
        yield from broken(self, rules)
        if not subject.acts:
            yield "qdagger_from: labelled data have neither a replay nor returns; use --kickstart-from"
            return
        problems = list(examined(subject, "qdagger_from", self.qdagger_from))
        yield from problems or self.unscored(subject.teacher(self.qdagger_from))

    def unscored(self, teacher: Teacher) -> Iterator[str]:
        if not teacher.score > 0:
            found = "was never evaluated" if isnan(teacher.score) else f"has {teacher.tag} {teacher.score:g}"
            yield f"qdagger_from: lambda needs a teacher's return above 0 and it {found}; use --kickstart-from"

    def init(self, subject: Subject) -> State:
        state: State = {"digest": subject.teacher(self.qdagger_from).digest, "made": 0, "offline": False}
        return state | ({"games": [], "episodes": 0} if self.qdagger_score == "train" else {})

    def prelude(self, state: State) -> tuple[int, int]:
        return state["made"], self.qdagger_updates

    def pretrain(self, state: State, subject: Subject) -> None:
        state["offline"] = True
        subject.extra_update(batch=called(state, subject, self.qdagger_from).batch(0, subject))
        state["offline"] = False
        state["made"] += 1

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        while not state["offline"] and state["made"] < self.qdagger_updates:  # of an agent without a session
            self.pretrain(state, subject)
        if self.qdagger_score == "train" and subject.clock["episodes"] > state["episodes"]:
            state["episodes"] = subject.clock["episodes"]
            tag = called(state, subject, self.qdagger_from).tag.replace("eval", "train")
            state["games"] = [*state["games"], subject.metrics.get(tag, nan)][-GAMES:]
        return batch

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in pupils(subject):
            return loss.value
        teacher = called(state, subject, self.qdagger_from)
        weight = self.qdagger_weight * (1.0 if state["offline"] else self.share(state, subject, teacher))
        if not weight:
            return loss.value
        return loss.value + weight * policy_gap(subject, loss.part, batch, teacher.weights, self.qdagger_temperature)

    def share(self, state: State, subject: Subject, teacher: Teacher) -> float:
        """lambda_t."""
        if subject.clock["steps"] >= self.qdagger_until:
            return 0.0
        mine = self.score(state, subject, teacher)
        return 1.0 if isnan(mine) else min(max(1 - mine / teacher.score, 0.0), 1.0)

    def score(self, state: State, subject: Subject, teacher: Teacher) -> float:
        """G_S, NaN before there is one."""
        if self.qdagger_score == "eval":
            return subject.metrics.get(teacher.tag, nan)
        return sum(state["games"]) / GAMES if len(state["games"]) == GAMES else nan
