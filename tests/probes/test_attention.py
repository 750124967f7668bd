"""Entropy of attention: log T where it is even, 0 where it is of one token, by hand in between; absent elsewhere."""

import math

import pytest
import torch

from nets.classify import Classifier, ClassifierNetConfig
from nets.encoders import NetConfig
from nets.optim import OptimConfig
from nets.part import Part
from nets.vit import Attention as Module
from probes.attention import Attention
from tests.probes import constructed

TOKENS = 4  # of 8 x 8 pixels in patches of 4


def part(**flags):
    config = ClassifierNetConfig(net="vit", hidden=(), dim=8, depth=2, heads=2, norm="layer", **flags)
    return Part(lambda: Classifier((2, 8, 8), 3, config), OptimConfig().make, 0)


def images(batch=5):
    return torch.rand(batch, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def measure(**parts):
    return Attention().measure(constructed.subject(**parts), constructed.states(images()), {})


def attentions(p):
    return [m for m in p.net.modules() if isinstance(m, Module)]


def write(attention, queries, keys):
    """Queries and keys of every token, [heads * d], whatever it is."""
    for heads, bias in ((attention.query, queries), (attention.key, keys)):
        constructed.write(heads.writer, 0.0, bias)


def test_attention_to_all_tokens_alike_has_the_entropy_log_t():
    p = part()
    for attention in attentions(p):
        write(attention, 0.0, 0.0)
    row = measure(q=p)
    blocks = {f"entropy/encoder.block{i}": pytest.approx(math.log(TOKENS)) for i in (1, 2)}
    assert row == {"entropy": pytest.approx(math.log(TOKENS)), **blocks}


def test_attention_to_one_token_has_the_entropy_0():
    """Queries are 1 and keys so long that the token with the largest key takes all."""
    p = part()
    for attention in attentions(p):
        write(attention, 0.0, 0.0)
        with torch.no_grad():
            attention.query.writer.bias.fill_(1.0)
            attention.key.writer.weight.fill_(0.0)[:, 0] = 1e6
    assert measure(q=p)["entropy"] == pytest.approx(0.0, abs=1e-3)


def test_the_entropy_by_hand():
    """Logits 0 and log 3 of two tokens, one unit a head: -(1/4 log 1/4 + 3/4 log 3/4); log 2 of the other head."""
    attention = Module(2, 2, False, NetConfig())
    constructed.write(attention.query.writer, 0.0, [1.0, 0.0])
    constructed.write(attention.key.writer, torch.eye(2))
    tokens = torch.tensor([[[0.0, math.log(3)], [5.0, 7.0]]])  # [B, D, T]
    uneven = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    torch.testing.assert_close(
        attention.entropy(tokens), torch.tensor([[[uneven, uneven], [math.log(2), math.log(2)]]])
    )


@pytest.mark.parametrize("qk_norm", [False, True])
def test_it_is_the_entropy_of_the_weights_that_the_forward_pass_takes(qk_norm):
    """The weights are the outputs where the values are the unit vectors of the tokens."""
    attention = Module(8, 2, qk_norm, NetConfig(norm="layer"))
    with torch.no_grad():
        for heads in (attention.query, attention.key):
            heads.writer.weight.mul_(3)
    x = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
    normed = attention.norm(x)
    eye = torch.eye(4).expand(3, 2, 4, 4)
    a = torch.nn.functional.scaled_dot_product_attention(attention.query(normed), attention.key(normed), eye)
    torch.testing.assert_close(attention.entropy(x), -(a * a.log()).sum(-1))


def test_each_part_has_its_own_and_those_without_attention_none():
    p = part()
    row = measure(a=p, b=constructed.part((128,)), c=part())
    blocks = {f"entropy/{name}.encoder.block{i}" for name in ("a", "c") for i in (1, 2)}
    assert row.keys() == {"entropy", *blocks}
    assert row["entropy"] == pytest.approx(sum(row[tag] for tag in blocks) / 4)


def test_a_network_without_attention_is_not_even_asked():
    subject, passes = constructed.subject(q=constructed.part()), []
    subject.run = lambda *call: passes.append(call)
    assert Attention().measure(subject, constructed.states(torch.zeros(3, 5)), {}) == {}
    assert not passes


@pytest.mark.parametrize("place", ["encoder.block2.attention.key.writer.weight", "head.value.bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    p = part()
    with torch.no_grad():
        p.net.get_parameter(place).view(-1)[0] = value
    row = measure(q=p)
    assert row
    assert all(math.isnan(x) for x in row.values())
