"""Muon and AdamW, and how they share a network."""

import pytest
import torch
from torch.testing import assert_close

from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.optimizers import Muon, make_optimizers, orthogonalize
from bert_tutorial.pretraining.settings import Settings


def matrix(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 48), (1, 8), (5, 1)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_1_and_singular_vectors_stay(shape, size):
    before = matrix(*shape)
    u, s, v = torch.linalg.svd(before, full_matrices=False)
    before = u @ torch.diag(torch.linspace(1.0, 0.05, len(s))) @ v
    after = u.T @ orthogonalize(before * size) @ v.T  # diagonal, if the vectors have stayed
    assert_close(after - after.diagonal().diag(), torch.zeros_like(after), rtol=0, atol=1e-3)
    assert after.diagonal().min() > 0.65 and after.diagonal().max() < 1.25


def test_several_at_once_are_as_one_by_one():
    together = orthogonalize(torch.stack([matrix(6, 4), matrix(6, 4, seed=1) * 1000]))
    for one, seed in zip(together, (0, 1), strict=True):
        assert_close(one, orthogonalize(matrix(6, 4, seed)), rtol=1e-3, atol=1e-3)


def test_a_matrix_without_numbers_stays_so():
    assert_close(orthogonalize(torch.zeros(4, 6)), torch.zeros(4, 6), rtol=0, atol=0)


def test_it_does_what_pytorchs_own_does():
    """PyTorch's computes the directions in bf16, so they agree to about two digits."""
    for shape in ((24, 24), (16, 40), (40, 16)):
        ours, theirs = torch.nn.Parameter(matrix(*shape)), torch.nn.Parameter(matrix(*shape))
        optimizer = Muon([ours], lr=0.02, weight_decay=0.1)
        # Theirs scales by 0.2, ours by 0.5.
        other = torch.optim.Muon(
            [theirs], lr=0.05, weight_decay=0.04, adjust_lr_fn="match_rms_adamw"
        )
        for seed in range(4):
            ours.grad, theirs.grad = matrix(*shape, seed + 1), matrix(*shape, seed + 1)
            before = ours.detach().clone()
            optimizer.step()
            other.step()
            moved = ours.detach() - before
            assert 0.005 < moved.square().mean().sqrt() < 0.015  # about half of the learning rate
        apart, way = (ours - theirs).norm(), (theirs - matrix(*shape)).norm()
        assert apart < 0.03 * way


def test_each_parameter_has_one_optimizer_and_only_matrices_decay():
    net = BERTModel(50, num_hiddens=32, ffn_num_hiddens=64, max_len=24)
    muon, adam = make_optimizers(net, Settings(learning_rate=0.01, weight_decay=0.1))
    groups = {
        p: (optimizer, group)
        for optimizer in (muon, adam)
        for group in optimizer.param_groups
        for p in group["params"]
    }
    owned = [p for o in (muon, adam) for group in o.param_groups for p in group["params"]]
    assert len(owned) == len(groups) and groups.keys() == set(net.parameters())
    for name, p in net.named_parameters():
        optimizer, group = groups[p]
        inside = p.dim() == 2 and (
            "blocks" in name or name in ("mlm.transform.weight", "nsp.hidden.weight")
        )
        assert (optimizer is muon) == inside, name
        assert group["weight_decay"] == (0.1 if p.dim() == 2 else 0.0), name


def test_d2ls_adam_has_all():
    net = BERTModel(50, num_hiddens=32, ffn_num_hiddens=64, max_len=24)
    how = Settings(optimizer="adam", learning_rate=0.01)
    assert {how.learning_rate_at(step) for step in range(50)} == {0.01}  # d2l's has no warm-up
    (adam,) = make_optimizers(net, how)
    assert type(adam) is torch.optim.Adam and adam.param_groups[0]["lr"] == 0.01
    assert set(adam.param_groups[0]["params"]) == set(net.parameters())


def test_a_matrix_without_a_gradient_is_left_alone():
    p = torch.nn.Parameter(matrix(4, 4))
    Muon([p], lr=0.1, weight_decay=0.1).step()
    assert_close(p.detach(), matrix(4, 4), rtol=0, atol=0)
