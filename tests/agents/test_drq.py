"""DrQ-v2 and DrQ: presets; one update equals a plain one in torch, written here from the equations; their promises."""

import math
from copy import deepcopy

import dm_env
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.build import build, problems
from agents.drq import DrQ, DrQConfig
from agents.explore import nudged
from agents.flags import parse
from agents.main import run
from envs import camera
from interventions.augment import shift
from nets.drq import encoded
from tests.agents.tiny import played
from tests.laws.members import same, trained
from tests.pictures import drawn

LINE = "--env=toy:look --preset=none --hidden 8 8 --width=0.25 --batch-size=8 --capacity=300 --warmup=40"
KINDS = {"drqv2": [], "drq": ["--policy=sac", "--encoder=drq", "--alpha-init=0.7", "--lr=3e-4", "--target-tau=0.005"]}
BOTH = pytest.mark.parametrize("kind", KINDS)


def made(kind, *flags):
    return build(DrQ, parse("drq", DrQConfig, [*LINE.split(), *KINDS[kind], *flags]))


def walked(kind, steps, *flags):
    return played(*made(kind, *flags), steps)


def weights(learner):
    return {f"{n}.{k}": p.detach().clone() for n, part in learner.parts.items() for k, p in part.net.named_parameters()}


# ---- presets: the columns of DrQ-v2's cfgs and of rl_with_resets' train_pixels.py and configs/drq.py

SEEN = {"frame_stack": 3, "camera": -1, "gamma": 0.99, "latent": 50, "init": "orthogonal", "critics": 2}
SEEN |= {"augment_on": True, "augment_shift": 4, "augment_intensity": 0.0, "target_every": "1:updates", "eps": 1e-8}
DRQV2 = SEEN | {
    "policy": "ddpg",
    "image_size": 84,
    "gray": False,
    "action_repeat": 2,
    "encoder": "drqv2",
    "hidden": [1024, 1024],
    "n_step": 3,
    "noise_start": 1.0,
    "noise_final": 0.1,
    "noise_decay": 100_000,
    "noise_clip": 0.3,
    "lr": 1e-4,
    "target_tau": 0.01,
    "replay_ratio": 0.5,
    "batch_size": 256,
    "warmup": 2_000,  # 4,000 frames
    "capacity": 1_000_000,
    "steps": 550_000,  # 1.1M frames
    "reset_every": "never",
}
DRQ = SEEN | {
    "policy": "sac",
    "image_size": 64,
    "gray": True,
    "action_repeat": 0,
    "encoder": "drq",
    "hidden": [256, 256],
    "n_step": 1,
    "lr": 3e-4,
    "target_tau": 0.005,
    "replay_ratio": 1.0,
    "batch_size": 512,
    "warmup": 1_000,
    "capacity": 100_000,
    "alpha_init": 0.1,
    "alpha_loss": "alpha",
    "entropy_goal": -1.0,
    "log_std_min": -10.0,
    "log_std_max": 2.0,
    "log_std_by": "tanh",
    "steps": 250_000,
    "reset_every": "never",
}
RESETS = DRQ | {"reset_every": "25k", "reset_groups": "torso,head,log_alpha", "reset_target": "copy"}


@drawn
@pytest.mark.parametrize(("preset", "column"), [("drqv2", DRQV2), ("drq", DRQ), ("drq_resets", RESETS)])
def test_a_preset_is_its_column(preset, column):
    settings = parse("drq", DrQConfig, ["--env=dmc:walker-walk", f"--preset={preset}"])
    assert {key: settings.flat[key] for key in column} == column
    assert not problems(settings)


def test_drq_v2_on_a_walker_is_the_default():
    assert (parse("drq", DrQConfig, []).run.env, parse("drq", DrQConfig, []).run.preset) == ("dmc:walker-walk", "drqv2")


@drawn
def test_a_frame_of_drq_v2_is_stored_once():
    """A walker's row: 3 x 84 x 84 pixels, 6 actions of 4 bytes, reward, discount, step type, age."""
    settings = parse("drq", DrQConfig, ["--env=dmc:walker-walk", "--capacity=100"])
    _, learner = build(DrQ, settings)
    assert learner.replay.ring.row_bytes == 3 * 84 * 84 + 24 + 4 + 4 + 1 + 1


@drawn
def test_drq_has_the_parameters_that_the_code_of_its_resets_counts():
    """rl_with_resets train_pixels.py: an encoder of 388,416, critic heads of 366,232, an actor head of 286,882."""
    settings = parse("drq", DrQConfig, ["--env=dmc:walker-walk", "--preset=drq", "--capacity=100"])
    _, learner = build(DrQ, settings)
    critic, actor = learner.parts["critic"], learner.parts["actor"]
    assert sum(p.numel() for p in critic.select("encoder").values()) == 388_416
    assert sum(p.numel() for p in critic.select("torso,head").values()) == 366_232
    assert sum(p.numel() for p in actor.trainable) == 286_882


# ---- the reference: functions of plain tensors, plain Adam, no code of ours


class Reference:
    """One update at gamma .99 and n = 1: the noise of DrQ-v2, or SAC's, given by its draws."""

    def __init__(self, learner, kind):
        parts, self.kind = learner.parts, kind
        self.critic = self.leaves(parts["critic"].net)
        self.slow = {n: p.detach().clone() for n, p in parts["critic"].target.named_parameters()}
        actor = self.leaves(parts["actor"].net)
        self.actor = {n: p for n, p in actor.items() if not n.startswith("encoder")}
        self.lr, self.tau = (1e-4, 0.01) if kind == "drqv2" else (3e-4, 0.005)
        groups = {"critic": self.critic, "actor": self.actor}
        if kind == "drq":
            self.alpha = self.leaves(parts["alpha"].net)
            groups["alpha"] = self.alpha
        self.opt = {
            n: torch.optim.Adam(list(ps.values()), self.lr, eps=1e-4, foreach=False) for n, ps in groups.items()
        }

    def leaves(self, net):
        return {n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()}

    def encode(self, w, obs):
        x = obs.float() / 255 - (0.5 if self.kind == "drqv2" else 0)
        for i in range(1, 5):
            at = f"encoder.conv{i}.writer"
            if self.kind == "drq":
                x = F.pad(x, (x.shape[-1] % 2, 1, x.shape[-1] % 2, 1))
            x = F.conv2d(x, w[f"{at}.weight"], w[f"{at}.bias"], 2 if self.kind == "drq" or i == 1 else 1).relu()
        return x.flatten(1)

    def trunk(self, w, x):
        x = F.linear(x, w["torso.trunk.writer.weight"], w["torso.trunk.writer.bias"])
        return F.layer_norm(x, x.shape[1:], w["torso.trunk.norm.weight"], w["torso.trunk.norm.bias"]).tanh()

    def mlp(self, w, x, at, out):
        for i in (1, 2):
            x = F.linear(x, w[f"{at}torso.fc{i}.writer.weight"], w[f"{at}torso.fc{i}.writer.bias"]).relu()
        return F.linear(x, w[f"{at}head.{out}.weight"], w[f"{at}head.{out}.bias"])

    def q(self, w, features, action):
        x = torch.cat([self.trunk(w, features), action], 1)
        return [self.mlp(w, x, f"ensemble.{i}.", "value")[:, 0] for i in (0, 1)]

    def draw(self, features, rng, std):
        h, w = self.trunk(self.actor, features), self.actor
        noise = torch.randn(len(features), 1, generator=rng)
        if self.kind == "drqv2":
            free = self.mlp(w, h, "", "mean").tanh() + (std * noise).clamp(-0.3, 0.3)
            return free - free.detach() + free.detach().clamp(-1 + 1e-6, 1 - 1e-6), 0
        sigma = (-10 + 6 * (1 + self.mlp(w, h, "", "log_std").tanh())).exp()
        mean = self.mlp(w, h, "", "mean")
        u = mean + sigma * noise
        density = -noise.pow(2) / 2 - sigma.log() - math.log(2 * math.pi) / 2
        logp = density + 2 * torch.cosh(u).log()  # 1 - tanh^2 = 1 / cosh^2
        return torch.tanh(u), logp[:, 0]

    def step(self, name, loss):
        self.opt[name].zero_grad()
        loss.backward(inputs=self.opt[name].param_groups[0]["params"])
        self.opt[name].step()
        return loss.item()

    def update(self, b, rng, std):
        ddpg = self.kind == "drqv2"
        alpha = 0 if ddpg else self.alpha["log_alpha"].exp().detach()
        with torch.no_grad():
            later = self.encode(self.critic, b.next_obs)
            a, logp = self.draw(later, rng, std)
            low = torch.minimum(*self.q(self.slow, later if ddpg else self.encode(self.slow, b.next_obs), a))
            y = b.reward + b.discount * (low - alpha * logp)
        seen = self.encode(self.critic, b.obs)
        losses = [self.step("critic", sum((q - y).pow(2).mean() for q in self.q(self.critic, seen, b.action)))]
        seen = (seen if ddpg else self.encode(self.critic, b.obs)).detach()
        a, logp = self.draw(seen, rng, std)
        losses.append(self.step("actor", (alpha * logp - torch.minimum(*self.q(self.critic, seen, a))).mean()))
        if not ddpg:
            excess = (-logp.detach() + 1.0).mean()
            losses.append(self.step("alpha", self.alpha["log_alpha"].exp() * excess))
        for n, p in self.critic.items():
            self.slow[n] += self.tau * (p.detach() - self.slow[n])
        return losses


@BOTH
def test_losses_and_weights_equal_the_reference(kind):
    # eps 1e-4: at 1e-8 Adam makes a step of lr of the last bits of a gradient that is 0
    learner = walked(kind, 60, "--replay-ratio=0", "--n-step=1", "--eps=1e-4")
    with torch.no_grad():
        for p in learner.parts["critic"].target.parameters():
            p.add_(0.02)  # else a target that is not read would not be noticed
    mine, rng = Reference(learner, kind), learner.generator(0)
    rng.set_state(learner.loss_rng.get_state())
    for _ in range(3):
        dice = deepcopy(learner.rng["replay"])
        batch = learner.replay.peek(8, dice, 1, 0.99)
        losses = mine.update(batch, rng, 1 - 0.9 * 60 / 100_000)
        learner.update()
        sums = learner.metrics()
        ours = [sums[f"loss/{name}"] for name in learner.parts]
        assert ours == pytest.approx(losses, rel=1e-5, abs=1e-6)
    theirs = {"critic": mine.critic, "actor": mine.actor} | ({"alpha": mine.alpha} if kind == "drq" else {})
    for name, rows in theirs.items():
        live = dict(learner.parts[name].net.named_parameters())
        for n, p in rows.items():
            torch.testing.assert_close(live[n].detach(), p.detach(), rtol=1e-5, atol=1e-5)
    for n, p in learner.parts["critic"].target.named_parameters():
        torch.testing.assert_close(p, mine.slow[n], rtol=1e-5, atol=1e-5)


# ---- the encoder is the critics'


@BOTH
def test_no_gradient_of_the_actor_s_loss_reaches_an_encoder(kind):
    learner = walked(kind, 60, "--replay-ratio=0")
    batch, critic = learner.sample(), learner.parts["critic"].net
    for loss in learner.losses(batch, learner.generator(0)):
        if loss.part == "actor":
            assert all(p.grad is None for p in critic.parameters())
            loss.value.backward(retain_graph=True)
            assert all(p.grad is None for p in critic.encoder.parameters())
            assert all(p.grad is not None for p in learner.parts["actor"].trainable)
    assert not list(learner.parts["actor"].net.encoder.parameters())


@BOTH
def test_the_actor_sees_as_the_critics_do_from_birth_and_after_every_update(kind):
    flags = ["--specnorm-scale=1", "--specnorm-groups=encoder"]
    learner = made(kind, *flags)[1]
    obs = torch.randint(256, (4, 9, 24, 24), dtype=torch.uint8)

    def agree():
        critic, actor = (learner.parts[name].net for name in ("critic", "actor"))
        torch.testing.assert_close(encoded(obs, actor.encoder, actor.kind), critic.encode(obs), rtol=1e-4, atol=1e-5)

    agree()
    learner = walked(kind, 60, *flags)
    agree()
    learner.view(np.random.default_rng(0)).extra_update(
        lambda batch: iter(list(learner.losses(batch, learner.generator(0)))[:1])
    )
    agree()


@BOTH
@pytest.mark.parametrize("flags", [[], ["--reset-inherit=0"]])
def test_the_actor_sees_at_once_by_an_encoder_that_was_drawn_anew(kind, flags):
    learner = walked(kind, 60, "--reset-every=1k", *flags)
    critic, actor = (learner.parts[name].net for name in ("critic", "actor"))
    before, learner.clock["steps"] = {name: x.clone() for name, x in actor.encoder.worn().items()}, 1000
    learner.chain.tick()
    for name, p in critic.encoder.named_parameters():
        assert torch.equal(actor.encoder.worn()[name], p)
        assert name.endswith("bias") or not torch.equal(before[name], p)


def test_the_record_of_a_reset_of_the_critics_says_that_it_moved_the_actor():
    learner = walked("drqv2", 60, "--reset-every=1k", "--reset-parts=critic")
    learner.clock["steps"] = 1000
    learner.chain.tick()
    (event,) = learner.chain.drain()
    assert event["event/reset/output/actor"] > 0


def test_weights_of_the_actor_alone_say_what_it_does():
    """As a teacher's must, which is read from a checkpoint: another run's actor sees by its own encoder."""
    learner, other = walked("drq", 60), walked("drq", 80, "--seed=1")
    batch = learner.view(np.random.default_rng(0)).batch(8)
    lesson = other.parts["actor"].state_dict()["net"]
    torch.testing.assert_close(learner.run("actor", batch, lesson), other.run("actor", batch))


def test_the_teacher_after_a_reset_of_everything_sees_as_it_did():
    learner = walked("drqv2", 80, "--reset-every=1k", "--distill-updates=2", "--distill-anneal=9")
    batch = learner.view(np.random.default_rng(0)).batch(8)
    before = learner.run("actor", batch).detach()
    reset, distill = (next(x for x in learner.chain.links if x.name == name) for name in ("reset", "distill"))
    distill.method.before_reset(distill.state, distill.subject)
    reset.fire()
    distill.follow({"critic": [*learner.parts["critic"].select()], "actor": [*learner.parts["actor"].select()]})
    assert torch.equal(learner.run("actor", batch, distill.state["teacher"]["actor"]), before)
    assert not torch.allclose(learner.run("actor", batch), before)


# ---- the noise


def test_the_deviation_falls_evenly_to_its_end():
    learner = made("drqv2")[1]
    for steps, deviation in ((0, 1.0), (50_000, 0.55), (100_000, 0.1), (900_000, 0.1)):
        learner.clock["steps"] = steps
        assert learner.deviation == pytest.approx(deviation)


def test_the_noise_to_learn_with_is_clipped_and_that_to_act_with_is_not():
    learner = made("drqv2", "--warmup=1")[1]
    with torch.no_grad():
        for p in learner.parts["actor"].net.head.parameters():
            p.zero_()  # the mean is 0
    obs = torch.zeros(4000, 9, 24, 24, dtype=torch.uint8)
    action, _ = learner.draw(obs, learner.generator(0))
    assert action.abs().max().item() == pytest.approx(0.3)
    assert (action.abs() > 0.2999).float().mean().item() == pytest.approx(0.764, abs=0.03)  # P(|N(0, 1)| > .3)
    now = dm_env.TimeStep(np.ones(4000), np.zeros(4000), np.ones(4000), obs.numpy())
    learner.clock["steps"] = 1
    acted = learner.act(now, np.random.default_rng(0))
    assert (np.abs(acted) > 0.3).mean() == pytest.approx(0.764, abs=0.03)
    assert np.abs(acted).max() <= 1
    assert np.abs(learner.act(now, np.random.default_rng(0), greedy=True)).max() == 0


def test_actions_are_uniform_in_the_warmup():
    learner = made("drqv2")[1]
    now = dm_env.TimeStep(np.ones(900), np.zeros(900), np.ones(900), np.zeros((900, 9, 24, 24), np.uint8))
    acted = learner.act(now, np.random.default_rng(0))
    assert acted.dtype == np.float32
    assert acted.var() == pytest.approx(1 / 3, abs=0.03)


def test_an_action_cut_off_passes_its_gradient():
    mean = torch.tensor([[0.9], [-0.2]], requires_grad=True)
    action = nudged(mean, torch.ones(2, 1), torch.tensor([[0.3], [0.1]]))
    assert action.flatten().tolist() == pytest.approx([1 - 1e-6, -0.1])
    action.sum().backward()
    assert mean.grad.flatten().tolist() == [1, 1]


# ---- the rest of the promises


def test_a_time_limit_bootstraps_and_an_end_does_not():
    learner = walked("drqv2", 900, "--replay-ratio=0", "--warmup=900", "--capacity=2k", "--n-step=1")
    ring = learner.replay.ring
    keys = np.flatnonzero(ring.step_type[1 : ring.stop] == 2)  # each leads to a LAST
    batch = learner.replay.gather(keys, 1, 0.99)
    ended = ring.discount[keys + 1] == 0
    assert ended.any() and not ended.all()
    np.testing.assert_allclose(batch.discount.numpy(), np.where(ended, 0, np.float32(0.99)))


def test_a_reset_of_drq_keeps_the_encoder_its_moments_and_its_slow_copy_and_renews_the_rest():
    learner = walked("drq", 90, "--reset-every=1k", "--reset-groups=torso,head,log_alpha")
    critic = learner.parts["critic"]
    before, slow = weights(learner), {n: p.clone() for n, p in critic.target.named_parameters()}
    moments = {n: {k: x.clone() for k, x in critic.opt.state[p].items()} for n, p in critic.net.named_parameters()}
    assert not math.isclose(learner.parts["alpha"].net().item(), 0.7, rel_tol=1e-5)
    learner.chain.links[0].fire()
    for name, p in weights(learner).items():
        kept = ".encoder." in f".{name}"
        assert torch.equal(p, before[name]) == kept or (not kept and name.endswith("bias")), name
    for n, p in critic.net.named_parameters():
        state = critic.opt.state[p]
        if n.startswith("encoder"):
            assert all(torch.equal(state[k], x) for k, x in moments[n].items())
            assert state["exp_avg"].any() and torch.equal(dict(critic.target.named_parameters())[n], slow[n])
        else:
            assert not any(x.any() for x in state.values())
            assert torch.equal(dict(critic.target.named_parameters())[n], p)
    assert learner.parts["alpha"].net().item() == pytest.approx(0.7)
    assert not any(
        x.any() for p in learner.parts["actor"].trainable for x in learner.parts["actor"].opt.state[p].values()
    )


def test_a_minibatch_is_shifted_alone():
    """--augment-intensity 0: pixels stay bytes, and a picture moves as a whole."""
    images = torch.randint(256, (3, 9, 24, 24), dtype=torch.uint8)
    moved = shift(images, 4, torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8 and moved.shape == images.shape
    learner = walked("drqv2", 60, "--augment-on", "--augment-intensity=0")
    assert learner.clock["updates"] > 0


DMC = ["--image-size=15", "--num-envs=1", "--batch-size=8", "--hidden", "8", "--width=0.25", "--warmup=12"]


@pytest.mark.parametrize(
    ("env", "flags"),
    [
        ("toy:look", ["--augment-on", "--augment-intensity=0"]),
        ("toy:look", ["--policy=sac", "--encoder=drq", "--reset-every=13", "--reset-groups=torso,head,log_alpha"]),
        pytest.param("dmc:walker-walk", [*DMC, "--augment-on", "--augment-intensity=0"], marks=drawn),
    ],
)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(env, flags, tmp_path):
    straight = trained("drq", tmp_path / "straight", env, 70, *flags)
    for steps in (31, 50):
        trained("drq", tmp_path / "parts", env, steps, *flags)
    parts = trained("drq", tmp_path / "parts", env, 70, *flags)
    assert parts[1] == straight[1]
    assert same(parts[0], straight[0])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--env=toy:catch"], "DrQ needs continuous actions; toy:catch has 3 discrete ones: use DQN"),
        (["--env=toy:reach"], "DrQ needs pictures; observations of toy:reach have shape (1,)"),
        (["--env=HalfCheetah"], "pictures are drawn of tasks of dm_control, e.g. dmc:walker-walk"),
        (["--env=toy:look", "--alpha-init=3"], "alpha_init 3.0 does nothing without --policy sac"),
        (["--env=toy:look", "--policy=sac", "--noise-clip=1"], "noise_clip 1.0 does nothing without --policy ddpg"),
        (["--env=toy:look", "--noise-final=0"], "noise_final is 0.0, but must be above 0"),
        (["--env=toy:look", "--latent=0"], "latent is 0, but must be at least 1"),
        (["--env=toy:look", "--padding=same"], "padding same: the encoder of DrQ-v2 has its own; leave it out"),
        pytest.param(
            ["--env=dmc:walker-walk", "--image-size=8"],
            "images of 8x8 are too small for the encoder of DrQ-v2",
            marks=drawn,
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(flags, sentence, capsys, tmp_path):
    assert run(DrQ, DrQConfig, [*flags, "--preset=none", f"--out={tmp_path}/run"]) == 2
    assert sentence in capsys.readouterr().err


def test_a_machine_that_cannot_draw_is_told_so_before_the_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(camera, "screen", camera.screen.__wrapped__)  # as if nothing had been drawn yet
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert run(DrQ, DrQConfig, ["--env=dmc:walker-walk", f"--out={tmp_path}/run"]) == 2
    assert "MUJOCO_GL is disable, which draws no pictures; unset it" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
