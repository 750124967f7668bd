"""What outputs mean: how far two are apart, and the KL of the policies that they stand for, written out."""

import pytest
import torch

from nets.output import ActionValues, Atoms, Gaussian, Logits, Output, Quantiles, Values

SUPPORT = torch.tensor([-1.0, 0.0, 4.0])
STAND_FOR = {  # what softmax is taken of, [B, A]
    "values": (ActionValues(), lambda x: x[..., 0]),
    "logits": (Logits(), lambda x: x[..., 0]),
    "atoms": (Atoms(SUPPORT), lambda x: x.softmax(-1) @ SUPPORT),
    "quantiles": (Quantiles(), lambda x: x.mean(-1)),
}


def pair(*shape):
    rng = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=rng), torch.randn(*shape, generator=rng)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("kind", STAND_FOR)
def test_imitation_is_the_kl_from_the_teacher_s_softmax_to_the_student_s(kind, temperature):
    output, numbers = STAND_FOR[kind]
    student, teacher = pair(4, 2, 3)
    p, q = ((numbers(x) / temperature).softmax(-1) for x in (teacher, student))
    shown = (student, teacher) if kind in ("atoms", "quantiles") else (student[..., 0], teacher[..., 0])
    torch.testing.assert_close(output.imitation(*shown, temperature), (p * (p / q).log()).sum(-1))


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_imitation_of_a_gaussian_is_the_kl_of_the_two_with_the_variance_times_the_temperature(temperature):
    student, teacher = pair(4, 6)
    p, q = (torch.distributions.Normal(x[:, :3], x[:, 3:].exp() * temperature**0.5) for x in (teacher, student))
    expected = torch.distributions.kl_divergence(p, q).sum(1)
    torch.testing.assert_close(Gaussian().imitation(student, teacher, temperature), expected)


@pytest.mark.parametrize("output", [Values(), ActionValues(), Quantiles()])
def test_numbers_are_as_far_apart_as_the_mean_square_of_their_differences(output):
    student, teacher = torch.tensor([[[1.0, 2], [3, 4]]]), torch.tensor([[[1.0, 2], [3, 8]]])
    assert output.distance(student, teacher).tolist() == [4]


@pytest.mark.parametrize("output", [Logits(), Atoms(SUPPORT)])
def test_distributions_are_as_far_apart_as_their_mean_kl(output):
    student, teacher = pair(4, 2, 3) if isinstance(output, Atoms) else pair(4, 3)
    p, q = teacher.softmax(-1), student.softmax(-1)
    expected = (p * (p / q).log()).sum(-1).reshape(4, -1).mean(1)
    torch.testing.assert_close(output.distance(student, teacher), expected)


@pytest.mark.parametrize(
    ("output", "regresses", "valued", "policy"),
    [
        (Values(), True, True, False),
        (ActionValues(), True, True, True),
        (Logits(), False, False, True),
        (Atoms(SUPPORT), False, True, True),
        (Quantiles(), False, True, True),
        (Gaussian(), False, False, True),
    ],
)
def test_what_each_kind_of_output_is(output: Output, regresses, valued, policy):
    assert (output.regresses, output.valued, output.policy) == (regresses, valued, policy)
