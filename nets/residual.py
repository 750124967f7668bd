"""Residual torsos of vectors: SimBa (Lee et al. 2024, arXiv:2410.09754), BRO (Nauman et al. 2024, arXiv:2405.16158).

After SonyResearch/simba @4e83770 and naumix/BiggerRegularizedOptimistic @8101111. Two things differ: LayerNorm's eps is
torch's 1e-5 (flax: 1e-6), and SimBa's He-normal draw is not cut off at two standard deviations (of equal variance).
Only the units inside a block have private readers; those of the stream are read by every block behind them. With CReLU
or Fourier features the stream of BRO, which begins with an activation, is twice as wide; that of SimBa is not. The
norms are LayerNorms whatever --norm says.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from nets.anatomy import Layer, Torso, Writer
from nets.encoders import NetConfig
from nets.layers import Block, Linear

EXPANSION = 4  # units inside a SimBa block for each unit of its stream


class SimBaBlock(nn.Module):
    """x + W2 act(W1 LN(x)), [B, D] -> [B, D]."""

    def __init__(self, stream: int, units: int, config: NetConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(stream)
        self.hidden = Block(Linear(stream, units, "he"), "none", config.activation, slope=config.slope)
        self.out = Linear(units * self.hidden.copies, stream, "he")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.hidden(self.norm(x)))  # type: ignore[no-any-return]


class BROBlock(nn.Module):
    """x + LN(W2 act(LN(W1 x))), [B, D] -> [B, D]."""

    def __init__(self, stream: int, units: int, config: NetConfig) -> None:
        super().__init__()
        self.hidden = Block(Linear(stream, units, "orthogonal"), "layer", config.activation, slope=config.slope)
        self.out = Linear(units * self.hidden.copies, stream, "orthogonal")
        self.norm = nn.LayerNorm(stream)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.out(self.hidden(x)))  # type: ignore[no-any-return]


class Residual(Torso):
    """A stem, the blocks that add to its stream, a last norm: [B, in] -> [B, D]."""

    def __init__(self, stem: Linear | Block, blocks: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        for i, block in enumerate(blocks):
            self.add_module(f"block{i + 1}", block)
        self.norm = norm

    def blocks(self) -> list[tuple[str, SimBaBlock | BROBlock]]:
        return [(name, block) for name, block in self.named_children() if isinstance(block, SimBaBlock | BROBlock)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _, block in self.blocks():
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """The units inside each block; `readers` read the stream, which is nobody's own."""
        return [block.hidden.layer(f"{prefix}.{name}", [block.out]) for name, block in self.blocks()]

    def shared(self) -> list[Writer]:
        """The stem; the other writers of the stream are the blocks' readers."""
        return [self.stem.writer if isinstance(self.stem, Block) else self.stem]


def simba(inputs: int, hidden: tuple[int, ...], config: NetConfig) -> tuple[Residual, int]:
    """hidden: the stream's width, once a block -> the torso and its output features (SimBa's critic: 512, 512)."""
    stream = config.units(one_width(hidden))
    blocks = [SimBaBlock(stream, EXPANSION * stream, config) for _ in hidden]
    return Residual(Linear(inputs, stream, "orthogonal", gain=1.0), blocks, nn.LayerNorm(stream)), stream


def bro(inputs: int, hidden: tuple[int, ...], config: NetConfig) -> tuple[Residual, int]:
    """hidden: the blocks' width, once a block -> the torso and its output features (BRO's critic: 512, 512)."""
    units = config.units(one_width(hidden))
    stem = Block(Linear(inputs, units, "orthogonal"), "layer", config.activation, slope=config.slope)
    stream = units * stem.copies
    return Residual(stem, [BROBlock(stream, units, config) for _ in hidden], nn.Identity()), stream


def one_width(hidden: tuple[int, ...]) -> int:
    if len(set(hidden)) != 1:
        raise ValueError(f"hidden {hidden} does not suit a residual torso: give one width per block, all equal")
    return hidden[0]
