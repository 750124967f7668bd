"""Encoders: sizes of the Nature CNN as counted in algorithms A.0.5."""

import pytest

from nets.encoders import NetConfig, mlp, nature
from nets.heads import QNetwork

ATARI = (4, 84, 84)


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("padding", "features", "dense"), [("valid", 3136, 1_606_144), ("same", 7744, 3_965_440)])
def test_the_first_dense_layer_of_the_nature_cnn(padding, features, dense):
    net = QNetwork(ATARI, 6, NetConfig(padding=padding))
    writer = net.torso.fc1.writer
    assert (writer.in_features, writer.out_features) == (features, 512)
    assert size(writer) == dense == features * 512 + 512


def test_the_convolutions_of_the_nature_cnn():
    chain, features, positions = nature(ATARI, NetConfig())
    assert [size(block) for _, block in chain.blocks()] == [4 * 64 * 32 + 32, 32 * 16 * 64 + 64, 64 * 9 * 64 + 64]
    assert (features, positions) == (64 * 49, 49)


def test_the_whole_network_has_a_million_and_seven_hundred_thousand_parameters():
    assert size(QNetwork(ATARI, 18, NetConfig())) == 8_224 + 32_832 + 36_928 + 1_606_144 + 18 * 513


@pytest.mark.parametrize(("padding", "sizes"), [("valid", [20, 9, 7]), ("same", [21, 11, 11])])
def test_each_convolution_knows_its_size(padding, sizes):
    chain, _, positions = nature(ATARI, NetConfig(padding=padding))
    assert [block.writer.size for _, block in chain.blocks()] == sizes
    assert positions == sizes[-1] ** 2


def test_width_scales_every_hidden_layer_and_channel():
    config = NetConfig(width=0.25, hidden=(64, 2))
    net = QNetwork(ATARI, 6, config)
    assert [layer.writer.weight.shape[0] for layer in net.layers()] == [8, 16, 16, 16, 1]  # round(0.5) is 0: at least 1


def test_crelu_keeps_the_units_and_doubles_the_inputs_behind_them():
    config = NetConfig(width=0.25, hidden=(64, 64), activation="crelu")
    net = QNetwork(ATARI, 6, config)
    inputs = [layer.writer.weight.shape[1] for layer in net.layers()]
    assert inputs == [4, 2 * 8, 2 * 16, 2 * 16 * 49, 2 * 16]
    assert net.head.value.in_features == 2 * 16


def test_without_hidden_layers_the_torso_passes_its_input_on():
    chain, features = mlp(7, NetConfig(hidden=()))
    assert (features, chain.blocks()) == (7, [])


def test_a_norm_sits_in_every_hidden_layer_and_nowhere_else():
    net = QNetwork(ATARI, 6, NetConfig(width=0.25, hidden=(8,), norm="layer"))
    gains = [name for name, _ in net.named_parameters() if "norm" in name and name.endswith("weight")]
    blocks = ("encoder.conv1", "encoder.conv2", "encoder.conv3", "torso.fc1")
    assert gains == [f"{block}.norm.weight" for block in blocks]


def test_init_reaches_every_layer():
    net = QNetwork(ATARI, 6, NetConfig(width=0.25, hidden=(8,), init="xavier"), "dueling")
    assert not any(p.any() for name, p in net.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize(
    ("shape", "padding", "sentence"),
    [
        ((4, 84, 80), "valid", "square images; this observation is 84x80"),
        ((4, 30, 30), "valid", "images of 30x30 are too small for the Nature CNN with valid padding"),
    ],
)
def test_images_it_cannot_take_are_refused(shape, padding, sentence):
    with pytest.raises(ValueError, match=sentence):
        nature(shape, NetConfig(padding=padding))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (NetConfig(slope=0.1), "slope 0.1 does nothing without --activation leaky_relu"),
        (NetConfig(activation="prelu", slope=0.3), "slope 0.3 does nothing without --activation leaky_relu"),
        (NetConfig(norm_groups=4), "norm_groups 4 does nothing without --norm group"),
        (NetConfig(norm="layer", norm_groups=1), "norm_groups 1 does nothing without --norm group"),
    ],
)
def test_a_number_of_another_choice_is_a_problem(config, sentence):
    assert config.problems() == [sentence]


@pytest.mark.parametrize("flags", [{"activation": "leaky_relu", "slope": 0.3}, {"norm": "group", "norm_groups": 4}])
def test_a_number_of_the_choice_made_is_none(flags):
    assert NetConfig(**flags).problems() == []


@pytest.mark.parametrize(
    "field",
    [
        *({"hidden": (8, 0)}, {"width": 0.0}, {"width": float("nan")}, {"width": float("inf")}),
        *({"activation": "leaky_relu", "slope": slope} for slope in (0.0, 1.0, -0.1, float("nan"))),
        {"norm": "group", "norm_groups": 0},
    ],
)
def test_a_size_out_of_range_is_a_problem_that_names_its_flag(field):
    (problem,) = NetConfig(**field).problems()
    assert problem.startswith(list(field)[-1])
