"""The networks, losses and updates of Rainbow, QR-DQN, SPR and BBF written a second time, as loops over definitions.

Everything is float64 and basic arithmetic on a dict of weights by parameter name, so that autograd gives gradients that
owe nothing to the networks they are compared with (Bellemare et al. 2017, arXiv:1707.06887; Dabney et al. 2018,
1710.10044; Fortunato et al. 2018, 1706.10295; Schwarzer et al. 2021, 2007.05929; Schwarzer et al. 2023, 2305.19452).
"""

from math import ceil, inf

import torch
from torch import Tensor

Weights = dict[str, Tensor]
Noise = dict[str, tuple[Tensor, Tensor]]  # {layer: (f(q): [in], f(p): [out])}
QUIET: Noise = {}


def doubles(net: torch.nn.Module, grad: bool = False) -> Weights:
    """The weights of a network as float64 leaves."""
    return {name: p.detach().to(torch.float64).clone().requires_grad_(grad) for name, p in net.named_parameters()}


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def taps(x: Tensor, kernel: int, stride: int, same: bool, fill: float = 0.0) -> dict[tuple[int, int], Tensor]:
    """[B, C, H, W] -> what each place of the kernel sees, [B, C, H', W']; SAME pads the odd one out at the end."""
    batch, channels, height, width = x.shape
    sizes = [ceil(n / stride) if same else (n - kernel) // stride + 1 for n in (height, width)]
    spans = [stride * (size - 1) + 1 for size in sizes]
    top, left = (max(span - 1 + kernel - n, 0) // 2 for span, n in zip(spans, (height, width), strict=True))
    wide = x.new_full((batch, channels, height + 2 * kernel, width + 2 * kernel), fill)
    wide[:, :, top : top + height, left : left + width] = x
    places = [(i, j) for i in range(kernel) for j in range(kernel)]
    return {(i, j): wide[:, :, i : i + spans[0] : stride, j : j + spans[1] : stride] for i, j in places}


def conv(p: Weights, name: str, x: Tensor, stride: int = 1, same: bool = True) -> Tensor:
    """y_o = b_o + sum over c, i, j of w_ocij x_c(i, j)."""
    weight = p[f"{name}.weight"]
    out = p[f"{name}.bias"][None, :, None, None]
    for (i, j), seen in taps(x, weight.shape[2], stride, same).items():
        out = out + torch.einsum("bchw,oc->bohw", seen, weight[:, :, i, j])
    return out


def pool(x: Tensor) -> Tensor:
    """The maximum of 3x3 at every second place, SAME."""
    return torch.stack(list(taps(x, 3, 2, True, -inf).values())).max(0).values


def linear(p: Weights, name: str, x: Tensor, noise: Noise = QUIET) -> Tensor:
    """y = W x + b; with noise W = mu + sigma f(p) f(q)' and b = mu + sigma f(p). x: [B, in]."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if name in noise:
        inputs, units = (x.to(torch.float64) for x in noise[name])
        weight = weight + p[f"{name}.sigma.weight"] * (units[:, None] * inputs[None, :])
        bias = bias + p[f"{name}.sigma.bias"] * units
    return (weight[None] * x[:, None, :]).sum(2) + bias


def nature(p: Weights, x: Tensor, same: bool) -> Tensor:
    for i, stride in enumerate((4, 2, 1), 1):
        x = relu(conv(p, f"encoder.conv{i}.writer", x, stride, same))
    return x


def impala(p: Weights, x: Tensor) -> Tensor:
    for stage in (f"encoder.stage{i}" for i in (1, 2, 3)):
        x = pool(conv(p, f"{stage}.conv", x))
        for block in (f"{stage}.block1", f"{stage}.block2"):
            x = x + conv(p, f"{block}.out", relu(conv(p, f"{block}.hidden.writer", relu(x))))
    return relu(x)


def scaled(x: Tensor) -> Tensor:
    """N(x) = (x - min) / (max - min + 1e-5) of each sample."""
    rows = []
    for row in x:
        low, high = row.flatten().min(0).values, row.flatten().max(0).values
        rows.append((row - low) / (high - low + 1e-5))
    return torch.stack(rows)


def unit(obs: Tensor) -> Tensor:
    return obs.double() / (255 if obs.dtype == torch.uint8 else 1)


def latent(p: Weights, obs: Tensor) -> Tensor:
    """z = N(f(s)) of SPR."""
    x = unit(obs)
    return scaled(impala(p, x) if "encoder.stage1.conv.weight" in p else nature(p, x, True))


def step(p: Weights, z: Tensor, action: Tensor) -> Tensor:
    """h(z, a): A planes, that of the action all ones, two convolutions, N."""
    batch, channels, height, width = z.shape
    planes = z.new_zeros(batch, p["transition.conv1.writer.weight"].shape[1] - channels, height, width)
    for b in range(batch):
        planes[b, int(action[b])] = 1.0
    x = relu(conv(p, "transition.conv1.writer", torch.cat([z, planes], 1)))
    return scaled(relu(conv(p, "transition.conv2.writer", x)))


def projection(p: Weights, z: Tensor, noise: Noise = QUIET) -> Tensor:
    return linear(p, "projection.fc1.writer", z.flatten(1), noise)


def outputs(p: Weights, x: Tensor, atoms: int, noise: Noise = QUIET) -> Tensor:
    """Features [B, D] -> [B, A, M]; dueling for each atom where there is an advantage stream."""
    value = linear(p, "head.value", x, noise)
    if "head.advantage.weight" not in p:
        return value.reshape(len(x), -1, atoms)
    advantage = linear(p, "head.advantage", x, noise).reshape(len(x), -1, atoms)
    actions = advantage.shape[1]
    mean = sum(advantage[:, a] for a in range(actions)) / actions
    return torch.stack([value + advantage[:, a] - mean for a in range(actions)], 1)


def spr_outputs(p: Weights, obs: Tensor, atoms: int, noise: Noise = QUIET) -> Tensor:
    return outputs(p, relu(projection(p, latent(p, obs), noise)), atoms, noise)


def q_outputs(p: Weights, obs: Tensor, atoms: int, noise: Noise = QUIET, same: bool = False) -> Tensor:
    """The Nature CNN, one hidden layer, a head."""
    hidden = linear(p, "torso.fc1.writer", nature(p, unit(obs), same).flatten(1), noise)
    return outputs(p, relu(hidden), atoms, noise)


def probabilities(logits: Tensor) -> Tensor:
    powers = (logits - logits.detach().amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def projected(mass: Tensor, reward: float, discount: float, low: float, high: float) -> Tensor:
    """m_i = sum_j p_j max(0, 1 - |b_j - z_i| / Dz), b_j = clip(R + gamma^n z_j). mass: [M] -> [M]."""
    count = len(mass)
    width, out = (high - low) / (count - 1), torch.zeros(count, dtype=torch.float64)
    for i in range(count):
        for j in range(count):
            b = min(max(reward + discount * (low + j * width), low), high)
            out[i] += mass[j] * max(0.0, 1 - abs(b - (low + i * width)) / width)
    return out


def projected_to_neighbours(mass: Tensor, reward: float, discount: float, low: float, high: float) -> Tensor:
    """The same as Bellemare et al.'s algorithm 1: each atom's mass to the two below and above where it lands."""
    count = len(mass)
    width, out = (high - low) / (count - 1), torch.zeros(count, dtype=torch.float64)
    for j in range(count):
        place = (min(max(reward + discount * (low + j * width), low), high) - low) / width
        below = min(int(place), count - 1)
        above = min(below + 1, count - 1)
        out[below] += mass[j] * (1 - (place - below))
        out[above] += mass[j] * (place - below)
    return out


def best(judge: Tensor, worth: Tensor) -> list[int]:
    """The action of the largest sum_i z_i p_i in each row of [B, A, M]; worth: [M]."""
    return [max(range(len(row)), key=lambda a: float((row[a] * worth).sum())) for row in judge.detach()]


def c51(logits: Tensor, following: Tensor, judge: Tensor, batch, low: float, high: float) -> Tensor:
    """CE_i = - sum_k m_k log p_k, [B]; logits of s, following (target) and judge (who chooses) of s', all [B, A, M]."""
    worth = torch.tensor([low + i * (high - low) / (logits.shape[2] - 1) for i in range(logits.shape[2])]).double()
    chosen, rows = best(probabilities(judge), worth), []
    for b, a in enumerate(chosen):
        mass = probabilities(following[b, a].detach())
        goal = projected(mass, float(batch.reward[b]), float(batch.discount[b]), low, high)
        rows.append(-(goal * probabilities(logits[b, int(batch.action[b])]).log()).sum())
    return torch.stack(rows)


def quantile(theta: Tensor, following: Tensor, judge: Tensor, batch) -> Tensor:
    """(1/N) sum_i sum_j |tau_i - 1{u < 0}| Huber_1(u), u = y_j - theta_i; quantiles [B, A, N] -> [B]."""
    count, rows = theta.shape[2], []
    for b, a in enumerate(best(judge, torch.full((count,), 1 / count).double())):
        total = torch.zeros((), dtype=torch.float64)
        for i in range(count):
            for j in range(count):
                goal = float(batch.reward[b]) + float(batch.discount[b]) * float(following[b, a, j].detach())
                u = goal - theta[b, int(batch.action[b]), i]
                huber = 0.5 * u * u if abs(u.item()) <= 1 else abs(u) - 0.5
                total = total + abs((2 * i + 1) / (2 * count) - (u.item() < 0)) * huber
        rows.append(total / count)
    return torch.stack(rows)


def predictions(p: Weights, obs: Tensor, action: Tensor, noise: Noise = QUIET) -> Tensor:
    """y_k of k = 1..K, [K, B, D]; action: [B, K]."""
    z, out = latent(p, obs), []
    for a in action.T:
        z = step(p, z, a)
        out.append(linear(p, "predictor", projection(p, z, noise)))
    return torch.stack(out)


def spr(made: Tensor, goals: Tensor, mask: Tensor, eps: float = 1e-3) -> Tensor:
    """(1/K) sum_k m_k |y/|y| - t/|t||^2, [B]; made and goals: [K, B, D], mask: [B, K]. eps: a length's least."""
    rows = []
    for b in range(mask.shape[0]):
        total = torch.zeros((), dtype=torch.float64)
        for k in range(mask.shape[1]):
            y, t = made[k, b], goals[k, b].detach()
            y, t = y / (y * y).sum().sqrt().clamp(min=eps), t / (t * t).sum().sqrt().clamp(min=eps)
            total = total + float(mask[b, k]) * ((y - t) ** 2).sum()
        rows.append(total / mask.shape[1])
    return torch.stack(rows)


def spr_terms(p: Weights, slow: Weights, batch, noise: Noise = QUIET) -> Tensor:
    """L_SPR of each sample, [B]: the slow network sees each later state, the other one predicts it."""
    obs, action, mask = batch.future
    goals = [projection(slow, latent(slow, obs[:, k])) for k in range(obs.shape[1])]
    return spr(predictions(p, batch.obs, action, noise), torch.stack(goals), mask)


def total(weight: Tensor, errors: Tensor, ahead: Tensor | None = None, scale: float = 5.0) -> Tensor:
    """mean_i w_i (CE_i + 5 SPR_i)."""
    each = errors if ahead is None else errors + scale * ahead
    return (weight.double() * each).sum() / len(each)


def adamw(p: Weights, grads: Weights, moments: dict, t: int, lr: float, decay: float, eps: float) -> None:
    """Step t = 1, 2, .. of AdamW; only tensors of more than one dimension decay. moments: {name: (m, v)}, kept here."""
    for name, g in grads.items():
        m, v = moments.get(name, (torch.zeros_like(g), torch.zeros_like(g)))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        moments[name] = m, v
        stride = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + eps)
        if g.dim() > 1:
            stride = stride + decay * p[name].detach()
        p[name] = (p[name].detach() - lr * stride).requires_grad_()


def follow(slow: Weights, p: Weights, tau: float = 0.005) -> None:
    """theta_bar <- (1 - tau) theta_bar + tau theta."""
    for name in slow:
        slow[name] = (1 - tau) * slow[name] + tau * p[name].detach()


def horizon(x: int, start: int = 10, end: int = 3, over: int = 10_000) -> int:
    """n, x updates after the last reset (halves to the even number)."""
    return round(start * (end / start) ** min(x / over, 1.0))


def gamma(x: int, start: float = 0.97, end: float = 0.997, over: int = 10_000) -> float:
    return 1 - (1 - start) * ((1 - end) / (1 - start)) ** min(x / over, 1.0)
