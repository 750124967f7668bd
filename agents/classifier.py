"""A supervised learner on streams of labelled data (Lyle et al. 2023, arXiv:2303.01486; Kumar et al. 2023, 2308.11958).

Cross-entropy on the class, or regression on a number: the squared error, or cross-entropy with a distribution over
bins around it (Farebrother et al. 2024, arXiv:2403.03950). A class k of K is the number scale * (2k / (K - 1) - 1);
the scale may climb from task to task (a target-scale ladder, Lyle et al. 2024, arXiv:2402.18762).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import dm_env
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from agents.config import AgentConfig, LearnConfig, RLConfig
from agents.learner import Learner
from agents.losses import cross_entropy, spread, squared, support, symexp
from envs.spec import EnvSpec
from envs.streams import StreamSettings
from nets.classify import Classifier as Network
from nets.classify import ClassifierNetConfig
from nets.optim import OptimConfig
from nets.output import Logits, Values
from nets.part import Net
from nets.subject import Error, Loss
from replay.batch import Batch
from runs.units import NEVER, broken

# {preset: (families, {flag: value as typed})}; the first is the default.
PRESETS: dict[str, tuple[str, dict[str, object]]] = {
    # Kumar et al. 2023's random labels on our default of 20 tasks of 100 epochs of 75 minibatches.
    "mlp": ("data", {"steps": "150k", "task_every": "7.5k"}),
    # Their convolutional network, with two layers of 100 behind it as in their code (L2_Init @c4aa4f2).
    "cnn": ("data", {"steps": "150k", "task_every": "7.5k", "net": "cnn"}),
    # Ash & Adams 2020: base width 16, batches of 128; layer norm in place of batch norm.
    "resnet18": (
        "data",
        {
            "steps": "20k",
            "task_every": "2k",
            "net": "resnet18",
            "hidden": [],
            "width": 0.25,
            "norm": "layer",
            "batch_size": 128,
        },
    ),
    "vit": ("data", {"steps": "150k", "task_every": "7.5k", "net": "vit", "hidden": [], "norm": "layer", "lr": 3e-4}),
    # Lyle et al. 2023, section 4.1 and appendix A.1: 5,000 images, 2 x 1,024 units, Adam with eps 1e-9.
    "lyle": (
        "data",
        {"steps": "120k", "task_every": "6k", "images": 0, "batch_size": 256, "hidden": [1024, 1024], "eps": 1e-9},
    ),
}


@dataclass(frozen=True)
class ClassifierConfig(AgentConfig):
    """Classifier"""

    presets = PRESETS
    home = "labels:mnist"
    world = StreamSettings

    learn: LearnConfig = LearnConfig(batch_size=16, optim=OptimConfig(lr=1e-3, eps=1e-8))
    # No flags: the minibatch drawn at step s is trained on at once, and there is neither a future nor a slow network.
    rl: ClassVar[RLConfig] = RLConfig(replay_ratio=1, warmup=-1, gamma=0.0, target_every=NEVER)  # type: ignore[misc]
    net: ClassifierNetConfig = ClassifierNetConfig()
    loss: Literal["cross_entropy", "mse", "hl_gauss", "two_hot", "two_hot_symlog"] = "cross_entropy"
    """cross_entropy on classes; on numbers mse, or a distribution over bins: hl_gauss, two_hot (arXiv:2403.03950),
    two_hot_symlog, whose bins lie evenly in symlog (DreamerV3, arXiv:2301.04104)"""
    target_scale: tuple[float, ...] = (1.0,)
    """Factor on the numbers to regress to; several are a ladder, a task each, the last stays (arXiv:2402.18762)"""
    bins: int = 101
    """Bins of hl_gauss and two_hot(_symlog) over the range of the numbers (Farebrother et al. 2024: 101 or 51)"""
    sigma: float = 0.75
    """Deviation of hl_gauss in bin widths (Farebrother et al. 2024: .75)"""

    def problems(self) -> list[str]:
        rules = {
            "target_scale": (self.target_scale != () and min(self.target_scale) > 0, "numbers above 0"),
            "bins": (self.bins > 1, "at least 2"),
            "sigma": (self.sigma > 0, "above 0"),
        }
        return broken(self, rules) + self.learn.problems() + self.net.problems()


class Classifier(Learner):
    """One part, net: logits of classes or bins [B, M], or numbers [B, 1]."""

    config: ClassifierConfig
    acts = False

    @classmethod
    def accepts(cls, spec: EnvSpec) -> None:
        """Anything a stream gives."""

    def build(self) -> None:
        c, space = self.config, self.spec.action
        self.classes = int(space.n) if isinstance(space, Discrete) else 0
        if problems := list(self.misplaced()):
            raise ValueError("\n".join(problems))
        low, high = (float(space.low), float(space.high)) if isinstance(space, Box) else (-1.0, 1.0)
        top = max(c.target_scale)  # bins mean the same on every rung of a ladder
        self.bins = support(top * low, top * high, c.bins, c.loss).to(self.device)
        shape = self.spec.observation.shape
        outputs = {"cross_entropy": self.classes, "mse": 1}.get(c.loss, c.bins)
        meaning = Values() if c.loss == "mse" else Logits()
        self.parts["net"] = self.part("net", lambda: Network(shape, outputs, c.net), output=meaning)

    def misplaced(self) -> Iterator[str]:
        """A sentence for each flag that would do nothing with this loss and these data."""
        c = self.config
        if c.loss == "cross_entropy" and not self.classes:
            yield f"loss cross_entropy needs classes; {self.spec.name} has numbers: use mse, hl_gauss or two_hot"
        binned = ("hl_gauss", "two_hot", "two_hot_symlog")
        users = {"target_scale": ("mse", *binned), "bins": binned, "sigma": ("hl_gauss",)}
        for flag, losses in users.items():
            if c.loss not in losses and getattr(c, flag) != getattr(ClassifierConfig, flag):
                yield f"{flag} does nothing with loss {c.loss}; it is for {', '.join(losses)}"

    @torch.no_grad()
    def act(self, now: dm_env.TimeStep, rng: np.random.Generator, greedy: bool = False) -> np.ndarray:
        """The predicted classes or numbers, [N]."""
        net = self.lent("net") or self.parts["net"].net
        return self.predicted(net(self.observe(now))).cpu().numpy()

    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        yield self.judged(self.parts["net"].net(batch.obs), batch)

    def exam(self, batch: Batch) -> Iterator[Loss]:
        net = self.lent("net") or self.parts["net"].net
        yield self.judged(net(batch.obs), batch)

    def judged(self, outputs: Tensor, batch: Batch) -> Loss:
        """The loss of outputs [B, M]."""
        right = (self.predicted(outputs.detach()) == batch.action).float().mean() if self.classes else None
        metrics = {} if right is None else {"accuracy": right}
        if self.config.loss != "mse":
            return Loss("net", self.error(outputs, batch.action), metrics=metrics)
        goal = self.number(batch.action)
        of: Error = lambda td: squared(td).mean()
        td = goal - outputs[:, 0]
        return Loss("net", of(td), td, metrics, goal, of)

    def error(self, outputs: Tensor, label: Tensor) -> Tensor:
        """outputs: [B, M], label: [B] -> [], the mean over the batch."""
        c = self.config
        if c.loss == "cross_entropy":
            return F.cross_entropy(outputs, label)
        return cross_entropy(outputs, spread(self.number(label), self.bins, c.loss, c.sigma)).mean()

    def number(self, label: Tensor) -> Tensor:
        """What is regressed to, [B]."""
        value = 2 * label / (self.classes - 1) - 1 if self.classes else label
        return self.scale * value

    @property
    def scale(self) -> float:
        """Of this task's numbers."""
        ladder = self.config.target_scale
        return ladder[min(self.clock["tasks"], len(ladder) - 1)]

    def predicted(self, outputs: Tensor) -> Tensor:
        """outputs: [B, M] -> the class nearest to them, [B] int64, or the number they stand for."""
        loss = self.config.loss
        if loss == "cross_entropy":
            return outputs.argmax(1)
        value = outputs[:, 0] if loss == "mse" else outputs.softmax(1) @ self.bins
        value = (symexp(value) if loss == "two_hot_symlog" else value) / self.scale
        if not self.classes:
            return value
        return ((value + 1) / 2 * (self.classes - 1)).round().clamp(0, self.classes - 1).long()

    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        return net(batch.obs)  # type: ignore[no-any-return]

    def answer(self, batch: Batch, rng: torch.Generator, nets: Mapping[str, Net]) -> Batch:
        return batch


if __name__ == "__main__":
    from agents.main import main

    main(Classifier, ClassifierConfig)
