import torch

from replay.batch import Future, labelled


def with_future():
    future = Future(torch.zeros(3, 2, 5), torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2))
    return labelled(torch.arange(15.0).reshape(3, 5), torch.arange(3))._replace(future=future)


def test_picking_picks_from_every_tensor():
    batch = with_future().pick(torch.tensor([2, 0]))
    assert batch.action.tolist() == [2, 0] and batch.index.tolist() == [2, 0]
    assert [len(x) for x in (*batch[:7], *batch.future)] == [2] * 10
    assert [len(x) for x in with_future().pick(slice(1)).future] == [1] * 3


def test_a_batch_without_a_future_stays_without():
    batch = labelled(torch.zeros(3, 5), torch.arange(3))
    assert batch.future is None and batch.pick(slice(2)).future is None


def test_its_tensors_have_names():
    batch = with_future()
    named = batch.named()
    assert list(named) == [*batch._fields[:7], "future.obs", "future.action", "future.mask"]
    assert named["next_obs"] is batch.next_obs and named["future.mask"] is batch.future.mask
    assert list(batch._replace(future=None).named()) == list(batch._fields[:7])


def test_each_changes_the_future_too():
    batch = with_future().each(lambda x: x.double())
    assert {x.dtype for x in (*batch[:7], *batch.future)} == {torch.float64}
