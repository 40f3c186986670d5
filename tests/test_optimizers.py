"""Muon and AdamW, and how they share a network."""

import pytest
import torch
from torch.nn import Parameter
from torch.testing import assert_close

from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.optimizers import Muon, make_optimizers, orthogonalize
from bert_tutorial.pretraining.run import Settings


def matrix(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 48), (1, 8), (5, 1)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_1_and_singular_vectors_stay(shape, size):
    u, s, v = torch.linalg.svd(matrix(shape), full_matrices=False)
    before = u @ torch.linspace(1.0, 0.05, len(s)).diag() @ v
    after = u.T @ orthogonalize(before * size) @ v.T  # diagonal, if the vectors have stayed
    assert_close(after - after.diagonal().diag(), torch.zeros_like(after), rtol=0, atol=1e-3)
    assert after.diagonal().min() > 0.65 and after.diagonal().max() < 1.25


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_it_does_what_pytorchs_own_does(shape):
    """PyTorch's computes the directions in bf16, so they agree to about two digits."""
    starts = [matrix(shape, seed) for seed in (10, 11, 12, 13)]
    ours, theirs = ([Parameter(start.clone()) for start in starts] for _ in range(2))
    optimizer = Muon(ours, lr=0.02, weight_decay=0.1)
    # Theirs scales by 0.2, ours by 0.5.
    other = torch.optim.Muon(theirs, lr=0.05, weight_decay=0.04, adjust_lr_fn="match_rms_adamw")
    for seed in range(1, 5):
        # Gradients of any size, one of 0, and a matrix that has none.
        for one, two, much in zip(ours, theirs, (1, 1000, 0), strict=False):
            one.grad = much * matrix(shape, seed + much)
            two.grad = one.grad.clone()
        before = [p.detach().clone() for p in ours]
        optimizer.step()
        other.step()
        for one, start in zip(ours[:2], before, strict=False):
            moved = (one.detach() - start).square().mean().sqrt()
            assert 0.005 < moved < 0.015  # about half of the learning rate
    for one, two, start in zip(ours[:3], theirs, starts, strict=False):
        assert (one - two).norm() < 0.03 * (two - start).norm()
    assert torch.equal(ours[3], starts[3])


def test_each_parameter_has_one_optimizer_and_only_matrices_decay():
    net = BERTModel(50, num_hiddens=32, ffn_num_hiddens=64, max_len=24)
    how = dict(learning_rate=0.01, weight_decay=0.1, embedding_rate=0.5)
    muon, adam = make_optimizers(net, Settings(**how))
    owned = [(p, o, g) for o in (muon, adam) for g in o.param_groups for p in g["params"]]
    groups = {p: rest for p, *rest in owned}
    assert len(owned) == len(groups) and groups.keys() == set(net.parameters())
    for name, p in net.named_parameters():
        optimizer, group = groups[p]
        is_inside = "blocks" in name or name in ("mlm.transform.weight", "nsp.hidden.weight")
        assert (optimizer is muon) == (p.dim() == 2 and is_inside), name
        assert group["weight_decay"] == (0.1 if p.dim() == 2 else 0.0), name
        assert group.get("factor", 1.0) == (0.5 if p is net.word_vectors else 1.0), name
    how = Settings(optimizer="adam", **how)
    assert {how.learning_rate_at(step) for step in range(50)} == {0.01}  # d2l's has no warm-up
    (adam,) = make_optimizers(net, how)
    assert type(adam) is torch.optim.Adam and adam.param_groups[0]["lr"] == 0.01
    assert set(adam.param_groups[0]["params"]) == set(net.parameters())
