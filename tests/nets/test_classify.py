"""The classifier's network: every net on images, the flags that each refuses, its anatomy as a whole."""

import pytest
import torch

from nets.classify import Classifier, ClassifierNetConfig
from tests.nets import nudge

SHAPE = (3, 20, 20)
NETS = {
    "mlp": {},
    "cnn": {"width": 0.25},
    "resnet18": {"width": 0.125},
    "vit": {"dim": 8, "depth": 2, "heads": 2},
}
EVERY = pytest.mark.parametrize("net", list(NETS))


def make(net, hidden=(100, 80), shape=SHAPE, **flags):
    config = ClassifierNetConfig(net=net, hidden=hidden, **(NETS[net] | flags))
    return Classifier(shape, 10, config)


def images(batch=2):
    return torch.randint(0, 256, (batch, *SHAPE), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@EVERY
def test_images_become_one_output_a_class(net):
    for hidden in ((100, 80), ()):
        assert make(net, hidden)(images()).shape == (2, 10)


@EVERY
def test_bytes_are_scaled_and_floats_are_taken_as_they_are(net):
    mine = make(net)
    torch.testing.assert_close(mine(images()), mine(images().float() / 255))


def test_vectors_pass_unchanged_into_the_mlp():
    net, x = make("mlp", (), (5,)), torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x), x @ net.head.value.weight.T + net.head.value.bias)


def test_the_mlp_of_kumar_has_ninety_thousand_parameters():
    net = Classifier((1, 28, 28), 10, ClassifierNetConfig())
    assert sum(p.numel() for p in net.parameters()) == 785 * 100 + 101 * 100 + 101 * 10 == 89_610


def test_the_cnn_of_kumar_has_two_dense_layers_of_a_hundred():
    net = Classifier((3, 32, 32), 10, ClassifierNetConfig(net="cnn"))
    assert sum(p.numel() for p in net.parameters()) == 7_632 + 401 * 100 + 101 * 100 + 101 * 10


@EVERY
def test_the_trunk_is_the_encoder_and_the_rest_is_torso_and_head(net):
    groups = nudge.part(lambda: make(net)).groups()
    assert {"torso", "head"} <= set(groups)
    assert ("encoder" in groups) == (net != "mlp")


@EVERY
@pytest.mark.parametrize("hidden", [(100, 80), ()])
def test_a_unit_reaches_exactly_the_columns_its_edges_name(net, hidden):
    nudge.edges_tell_the_truth(make(net, hidden), images())


@EVERY
@pytest.mark.parametrize("hidden", [(100, 80), ()])
def test_every_matrix_is_a_writer_a_reader_or_shared(net, hidden):
    nudge.every_matrix_is_listed_once(make(net, hidden))


def test_the_head_is_shared_only_where_it_reads_a_stream():
    for hidden, shared in (((), True), ((6,), False)):
        net = make("vit", hidden)
        assert (net.head.value in net.shared()) == shared


@pytest.mark.parametrize(
    ("net", "flag", "sentence"),
    [
        ("mlp", {"qk_norm": True}, "qk_norm True is for net vit; net mlp has none: leave it at False"),
        ("cnn", {"patch": 2}, "patch 2 is for net vit; net cnn has none: leave it at 4"),
        ("resnet18", {"dim": 32}, "dim 32 is for net vit"),
        ("mlp", {"depth": 1}, "depth 1 is for net vit"),
        ("cnn", {"heads": 1}, "heads 1 is for net vit"),
        ("mlp", {"padding": "same"}, "padding same is for net cnn; net mlp has none: leave it at valid"),
        ("resnet18", {"padding": "same"}, "padding same is for net cnn; net resnet18 has none"),
        ("vit", {"padding": "same"}, "padding same is for net cnn; net vit has none"),
    ],
)
def test_a_flag_that_the_net_does_not_read_is_refused(net, flag, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(net, **flag)


@pytest.mark.parametrize("net", ["cnn", "resnet18", "vit"])
def test_vectors_are_refused_by_the_nets_for_images(net):
    with pytest.raises(
        ValueError, match=rf"net {net} is for images; observations of shape \(5,\) are none: take net mlp"
    ):
        make(net, shape=(5,))


@pytest.mark.parametrize("flag", [{"patch": 0}, {"dim": 0}, {"depth": 0}, {"heads": -1}, {"width": 0.0}])
def test_a_size_out_of_range_is_a_problem_that_names_its_flag(flag):
    (problem,) = ClassifierNetConfig(net="vit", **flag).problems()
    assert problem.startswith(next(iter(flag)))


@EVERY
def test_a_draw_is_a_pure_function_of_the_seed(net):
    nudge.is_a_pure_function_of_the_seed(lambda: make(net))
