"""A small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), with QK-norm on request.

Learned positions; tokens are averaged instead of a class token; --activation stands for the source's GELU. With --norm
layer it is pre-LN with a last LN, each token by itself, without there is none; other norms, which have no source here,
are refused. QK-norm: LayerNorm with gains, without biases, of the queries and keys of each head (Dehghani et al. 2023,
arXiv:2302.05442; Wortsman et al. 2023, arXiv:2309.14322), so that |q.k| / sqrt(d) <= |g_q| |g_k| sqrt(d), g the largest
gains; its eps is torch's. Tokens are [B, D, T], units in dimension 1 as everywhere, in memory [B, T, D].
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Layer, Torso, Writer
from nets.encoders import NetConfig
from nets.layers import Block, Conv2d, Init, Linear

EXPANSION = 4  # units of the MLP for each unit of the stream
POSITION = 0.02  # standard deviation of the positions at birth


class Pointwise(Linear):
    """One linear map of every token, x: [B, in, T] -> [B, out, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


class TokenNorm(nn.LayerNorm):
    """LayerNorm of every token, x: [B, D, T] -> [B, D, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


def norm(config: NetConfig, units: int) -> nn.Module:
    return TokenNorm(units, config.norm_eps) if config.norm == "layer" else nn.Identity()


class Heads(nn.Module):
    """Queries, keys or values of every head, x: [B, D, T] -> [B, heads, T, d], normed over d or not."""

    def __init__(self, units: int, heads: int, normed: bool, init: Init) -> None:
        super().__init__()
        self.heads = heads
        self.writer = Pointwise(units, units, init)
        self.norm = nn.LayerNorm(units // heads, bias=False) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        batch, units, tokens = x.shape
        split = self.writer(x).mT.reshape(batch, tokens, self.heads, units // self.heads)
        return self.norm(split.transpose(1, 2))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """x + Wo softmax(q k^T / sqrt(d)) v, [B, D, T] -> [B, D, T]."""

    def __init__(self, units: int, heads: int, qk_norm: bool, config: NetConfig) -> None:
        super().__init__()
        self.norm = norm(config, units)
        self.query = Heads(units, heads, qk_norm, config.init)
        self.key = Heads(units, heads, qk_norm, config.init)
        self.value = Heads(units, heads, False, config.init)
        self.out = Pointwise(units, units, config.init)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        seen = F.scaled_dot_product_attention(self.query(normed), self.key(normed), self.value(normed))
        return x + self.out(seen.transpose(1, 2).flatten(2).mT)  # type: ignore[no-any-return]

    def entropy(self, x: Tensor) -> Tensor:
        """-sum_j A_ij log A_ij of each query i over keys j, in nats: [B, D, T] -> [B, heads, T], from 0 to log T."""
        normed = self.norm(x)
        q, k = self.query(normed), self.key(normed)  # [B, heads, T, d]
        logits = q @ k.mT / q.shape[-1] ** 0.5
        return torch.special.entr(logits.softmax(-1)).sum(-1)  # type: ignore[no-any-return]

    def writers(self) -> list[Writer]:
        return [self.query.writer, self.key.writer, self.value.writer, self.out]


class TokenMLP(nn.Module):
    """x + W2 act(W1 x), [B, D, T] -> [B, D, T]."""

    def __init__(self, units: int, config: NetConfig) -> None:
        super().__init__()
        self.norm = norm(config, units)
        first = Pointwise(units, EXPANSION * units, config.init)
        self.hidden = Block(first, "none", config.activation, slope=config.slope)
        self.out = Pointwise(self.hidden.units * self.hidden.copies, units, config.init)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.hidden(self.norm(x)))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """x: [B, D, T] -> [B, D, T]."""

    def __init__(self, units: int, heads: int, qk_norm: bool, config: NetConfig) -> None:
        super().__init__()
        self.attention = Attention(units, heads, qk_norm, config)
        self.mlp = TokenMLP(units, config)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.attention(x))  # type: ignore[no-any-return]


class ViT(Torso):
    """x: [B, C, H, W] -> [B, D], the mean over the tokens."""

    def __init__(self, patches: Conv2d, blocks: list[TransformerBlock], last: nn.Module) -> None:
        super().__init__()
        self.patches = patches
        self.positions = nn.Parameter(torch.randn(patches.out_channels, patches.size**2) * POSITION)  # [D, T]
        for i, block in enumerate(blocks):
            self.add_module(f"block{i + 1}", block)
        self.norm = last

    def blocks(self) -> list[tuple[str, TransformerBlock]]:
        return [(name, block) for name, block in self.named_children() if isinstance(block, TransformerBlock)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2) + self.positions
        for _, block in self.blocks():
            x = block(x)
        return self.norm(x).mean(2)  # type: ignore[no-any-return]

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """The units of each MLP; `readers` read the stream, which is nobody's own."""
        return [block.mlp.hidden.layer(f"{prefix}.{name}", [block.mlp.out]) for name, block in self.blocks()]

    def shared(self) -> list[Writer]:
        """Patches and attention; the MLPs' second matrices, which write to the stream too, are readers."""
        return [self.patches, *(writer for _, block in self.blocks() for writer in block.attention.writers())]


def vit(
    shape: tuple[int, ...],
    config: NetConfig,
    patch: int = 4,
    dim: int = 64,
    depth: int = 4,
    heads: int = 4,
    qk_norm: bool = False,
) -> tuple[ViT, int, int]:
    """shape: (C, H, W) -> the encoder, its output features and 1, the positions of one unit behind the mean."""
    channels, height, width = shape
    if height != width or height % patch:
        raise ValueError(f"a ViT takes square images, here of a multiple of patch {patch}; these are {height}x{width}")
    if config.norm not in ("none", "layer"):
        raise ValueError(f"norm {config.norm} has no place in a ViT, which is pre-LN: take norm layer")
    units = config.units(dim)
    if units % heads:
        raise ValueError(f"{units} units (dim {dim} times width {config.width:g}) cannot be shared among {heads} heads")
    patches = Conv2d(channels, units, patch, patch, height, False, config.init)
    blocks = [TransformerBlock(units, heads, qk_norm, config) for _ in range(depth)]
    return ViT(patches, blocks, norm(config, units)), units, 1


def entropies(net: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """{path of each attention: its entropies [B, heads, T] in one pass, run()}; {} and no pass where there is none."""
    every = {path: module for path, module in net.named_modules() if isinstance(module, Attention)}
    seen: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen[module] = args[0]

    hooks = [module.register_forward_pre_hook(note) for module in every.values()]
    if every:
        run()
    for hook in hooks:
        hook.remove()
    return {path: module.entropy(seen[module]) for path, module in every.items()}
