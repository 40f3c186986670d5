"""Losses: the fast ones beside the plain ones, held-out values, baselines."""

import copy
import math
import re
from collections import Counter

import pytest
import torch
from published import small_net
from small import tokenized, topic_text
from torch.nn import functional as F
from torch.testing import assert_close

from bert_tutorial import Batch, get_bert_encoding
from bert_tutorial.network.fast import LinearCrossEntropy, plain_linear_cross_entropy
from bert_tutorial.network.losses import pretraining_losses
from bert_tutorial.pretraining.evaluation import baselines, evaluate, evaluate_parts
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.tokenized import TokenizedText
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

CHUNK = LinearCrossEntropy.CHUNK


def some_examples(num_paragraphs=40, batch_size=16, max_len=40, **settings):
    text = tokenized(topic_text(num_paragraphs, seed=0))
    return PretrainingExamples(*text, batch_size, max_len, **settings)


def some_net(examples, **changes):
    return small_net(examples.vocab, **{"dropout": 0.0, "max_len": 64, **changes}).train()


def loss_and_gradients(function, inputs, labels, *rest):
    inputs = [x.clone().requires_grad_() for x in inputs]
    loss = function(*inputs, labels, *rest)
    (3 * loss).backward()  # a factor, so that the gradient that comes from above is used
    return loss.detach(), [x.grad for x in inputs]


def linear_inputs(num_rows, D=12, V=70):
    generator = torch.Generator().manual_seed(num_rows)
    inputs = [torch.randn(*shape, generator=generator) for shape in ((num_rows, D), (V, D), (V,))]
    return inputs, torch.randint(V, (num_rows,), generator=generator)


@pytest.mark.parametrize("num_rows", [1, CHUNK, CHUNK + 1, 2 * CHUNK + 345])
def test_the_fast_loss_and_its_gradients_are_the_plain_ones(num_rows):
    inputs, labels = linear_inputs(num_rows)
    wanted, wanted_gradients = loss_and_gradients(plain_linear_cross_entropy, inputs, labels)
    found = set()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.01)):
        loss, gradients = loss_and_gradients(LinearCrossEntropy.apply, inputs, labels, dtype)
        assert_close(loss, wanted, rtol=tolerance, atol=0)
        for got, want in zip(gradients, wanted_gradients, strict=True):
            assert got.dtype == want.dtype  # gradients are as exact as the weights they belong to
            assert (got - want).norm() < tolerance * want.norm()
        found.add(loss.item())
    assert len(found) == 2  # otherwise half precision was not used


def test_logits_that_overflow_give_an_infinite_loss_and_not_a_wrong_one():
    (features, weight, bias), labels = linear_inputs(20)
    for factor, finite in ((5, True), (100, False)):
        inputs = features, weight * factor, bias, labels
        loss = LinearCrossEntropy.apply(*inputs, torch.float32)
        assert loss.isfinite() == finite
        if finite:
            assert_close(loss, plain_linear_cross_entropy(*inputs), rtol=1e-5, atol=1e-6)


def plain_losses(net, batch):
    """Both losses by d2l's interface, unused slots weighed with 0."""
    _, mlm_logits, nsp_logits = net(*batch[:4])
    each = F.cross_entropy(mlm_logits.flatten(0, 1), batch.mlm_labels.flatten(), reduction="none")
    weights = batch.mlm_weights.flatten()
    return (each * weights).sum() / weights.sum(), F.cross_entropy(nsp_logits, batch.nsp_labels)


def gradients_of(net, losses):
    net.zero_grad()
    sum(losses).backward()
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def batch_with_unused_slots(**settings):
    examples = some_examples(**settings)
    batch = examples.batch(0, 0)
    assert 0 < batch.mlm_weights.mean() < 0.9
    return examples, batch


def test_the_pretraining_losses_are_those_of_the_plain_computation():
    examples, batch = batch_with_unused_slots(max_len=64)
    net = some_net(examples)
    wanted = plain_losses(net, batch)
    wanted_gradients = gradients_of(net, wanted)
    half = pretraining_losses(net, batch, torch.bfloat16)
    assert half.mlm.dtype == torch.float32 and half.mlm.item() != wanted[0].item()  # it was used
    assert_close(tuple(half), wanted, rtol=0.03, atol=0)
    unused, short = batch.mlm_weights == 0, batch.trim()
    assert short.token_ids.shape[1] < 64 and short.mlm_weights.shape[1] < unused.shape[1]
    labels = batch.mlm_labels.masked_fill(unused, 9)
    other = batch._replace(
        mlm_labels=labels, pred_positions=batch.pred_positions.masked_fill(unused, 3)
    )
    for some in (batch, short, other):
        got = pretraining_losses(net, some)
        assert_close(tuple(got), wanted, rtol=1e-5, atol=1e-6)
        assert_close(gradients_of(net, got), wanted_gradients, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("num_batches", [None, 2, 1000])
@torch.no_grad()
def test_evaluation_is_the_direct_computation(num_batches):
    examples = some_examples(fixed=True)
    net = some_net(examples)
    batches = [examples.batch(0, i) for i in range(min(num_batches or 1000, len(examples)))]
    batch = Batch(*map(torch.cat, zip(*batches, strict=True)))
    _, mlm_logits, nsp_logits = net(*batch[:4])
    real = batch.mlm_weights == 1
    mlm, nsp = (mlm_logits[real], batch.mlm_labels[real]), (nsp_logits, batch.nsp_labels)
    wanted = []
    for logits, labels in (mlm, nsp):
        wanted += [F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()]
    assert 0 < wanted[1] < 1 and 0 < wanted[3] < 1
    got = evaluate(net, examples, num_batches)
    assert_close(torch.tensor(got), torch.stack(wanted), rtol=1e-5, atol=1e-6)
    mlm, nsp = (
        r"MLM loss \d+\.\d{3} \(\d+\.\d% of .*right\)",
        r"NSP loss \d+\.\d{3} \(\d+\.\d% right\)",
    )
    assert re.fullmatch(f"{mlm}, {nsp}", str(got))


def test_of_a_corpus_of_two_parts_each_is_evaluated_by_itself():
    def lines(number: int, seed: int) -> str:
        text = topic_text(number, seed)
        return "\n".join("".join(f" {' '.join(s)} ." for s in p) + " " for p in text)

    one, other = Corpus("one", "", lines(9, 1)), Corpus("other", "", lines(19, 2))
    both = Corpus("both", "", f"{one.valid}\n{other.valid}", (one, other))
    examples = some_examples(fixed=True)
    net = some_net(examples)
    found = evaluate_parts(net, examples, both)
    assert list(found) == ["one", "other"] and evaluate_parts(net, examples, one) == {}
    for part in both.parts:
        text = TokenizedText.from_paragraphs(examples.vocab, paragraphs(part.valid))
        alone = PretrainingExamples(examples.vocab, text, 16, 40, fixed=True)
        assert found[part.name] == evaluate(net, alone)
    assert found["one"] != found["other"]


@torch.no_grad()
def test_evaluation_of_very_many_slots_in_bf16_is_exact():
    examples = some_examples(120, batch_size=250, mask_rate=0.9, fixed=True)
    assert examples.batch(0, 0).mlm_weights.sum() > 1500 and len(examples) == 1
    net = some_net(examples)
    for part in (net.mlm.norm.weight, net.mlm.norm.bias, net.mlm.bias):
        part.zero_()  # every loss is ln V exactly, but a sum of 1500 in bf16 is not
    got = evaluate(net.bfloat16(), examples)
    assert_close(got.mlm_loss, math.log(len(examples.vocab)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_has_dropout_off_and_leaves_no_trace(training):
    examples = some_examples(fixed=True)
    net, without = (some_net(examples, dropout=d).train(training) for d in (0.5, 0.0))
    state, grad_modes = torch.get_rng_state(), []
    net.encoder.register_forward_hook(lambda *_: grad_modes.append(torch.is_grad_enabled()))
    assert evaluate(net, examples) == evaluate(net, examples) == evaluate(without, examples)
    assert grad_modes and not any(grad_modes) and torch.is_grad_enabled()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    too_short = some_net(examples, max_len=8).train(training)
    with pytest.raises(ValueError, match="positions"):
        evaluate(too_short, examples)
    for some in (net, too_short):
        assert all(module.training == training for module in some.modules())


def test_the_baselines_are_what_a_slow_reference_counts():
    train, held_out = topic_text(30, seed=1), topic_text(10, seed=2)
    train += [[["t0w0"] * 200, ["rare"]]]  # one word is the most frequent by far
    for paragraph in held_out:
        paragraph[0][1:3] = "unheard", "t0w0"
    vocab, text = tokenized(train)
    valid = TokenizedText.from_paragraphs(vocab, held_out)
    valid = PretrainingExamples(vocab, valid, 8, 40, fixed=True)
    known = baselines(PretrainingExamples(vocab, text, 8, 40, valid=valid))

    counts, pairs, words = Counter(), Counter(), vocab.itos
    for sentence in (s for paragraph in train for s in paragraph):
        counts.update(sentence)
        pairs.update(zip(["|", *sentence], [*sentence, "|"], strict=True))
    # One is added to each count.
    frequency = {w: (counts[w] + 1) / (counts.total() + len(words)) for w in words}

    def given(neighbour: str, side: int) -> dict[str, float]:
        seen = {pair[1 - side]: n for pair, n in pairs.items() if pair[side] == neighbour}
        total = sum(seen.values())
        if not total:
            return frequency
        freed = 0.75 * len(seen) / total
        return {w: max(seen.get(w, 0) - 0.75, 0) / total + freed * frequency[w] for w in words}

    losses, right, labels = [], [], []
    for batch in (valid.batch(0, i) for i in range(len(valid))):
        for row, used in enumerate(batch.mlm_weights.bool()):
            places = batch.pred_positions[row][used]
            whole = batch.token_ids[row].scatter(0, places, batch.mlm_labels[row][used])
            line = ["|" if t in ("<cls>", "<sep>") else t for t in vocab.to_tokens(whole)]
            for place in places.tolist():
                left, after = given(line[place - 1], 0), given(line[place + 1], 1)
                p = {w: left[w] * after[w] / frequency[w] for w in words if w != "<sep>"}
                losses.append(-math.log(p[line[place]] / sum(p.values())))
                right.append(max(p, key=p.get) == line[place])
                labels.append(line[place])
    assert "<unk>" in labels and "t0w0" in labels
    unigram = -sum(math.log(frequency[w]) for w in labels) / len(labels)
    assert_close([known.uniform, known.nsp], [math.log(len(words)), math.log(2)])
    assert_close(known.unigram, unigram)
    assert_close(known.unigram_accuracy, labels.count("t0w0") / len(labels))
    assert_close(known.neighbours, sum(losses) / len(losses), rtol=1e-4, atol=0)
    assert abs(known.neighbours_accuracy - sum(right) / len(right)) < 0.01  # ties
    assert known.neighbours < known.unigram


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.03)])
def test_a_network_in_another_format_has_about_the_same_losses_and_gradients(dtype, tolerance):
    examples, batch = batch_with_unused_slots(fixed=True)
    net = some_net(examples)
    other = copy.deepcopy(net).to(dtype)
    got, wanted = pretraining_losses(other, batch), pretraining_losses(net, batch)
    assert_close(torch.stack(got), torch.stack(wanted), rtol=tolerance, atol=0)
    wanted_gradients = gradients_of(net, wanted)
    for name, gradient in gradients_of(other, got).items():
        want = wanted_gradients[name]
        assert gradient.dtype == dtype and (gradient - want).norm() < 5 * tolerance * want.norm()
    held_out = [evaluate(some, examples).mlm_loss for some in (other, net)]
    assert_close(*held_out, rtol=tolerance, atol=0)
    one, two = (get_bert_encoding(some, examples.vocab, ["t1w0", "t1w1"]) for some in (other, net))
    assert one.dtype == dtype
    assert_close(one.float(), two, rtol=2 * tolerance, atol=2 * tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu_losses_and_evaluation_are_about_those_of_the_cpu():
    examples, batch = batch_with_unused_slots(fixed=True)
    net = some_net(examples)
    wanted, wanted_evaluation = pretraining_losses(net, batch), evaluate(net, examples)
    net.cuda()
    for dtype, tolerance in ((torch.float32, 1e-2), (torch.bfloat16, 3e-2)):
        got = pretraining_losses(net, batch.to("cuda"), dtype)
        sum(got).backward()
        assert_close(torch.stack(got).cpu(), torch.stack(wanted), rtol=tolerance, atol=0)
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert_close(evaluate(net, examples).mlm_loss, wanted_evaluation.mlm_loss, rtol=1e-2, atol=0)
