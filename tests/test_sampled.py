"""A step that decodes some of the words only."""

import torch
from small import assert_identical, losses, small_net, some_examples
from torch.nn import functional as F
from torch.testing import assert_close

from bert_tutorial.network.fast import WordSampler
from bert_tutorial.network.losses import pretraining_losses, read_out
from bert_tutorial.pretraining.settings import Settings
from bert_tutorial.pretraining.training import train_steps

COUNTS = [0, 0, 500, 200, 100, 50, 20, 10, 5, 2, 1]


def test_as_many_words_are_drawn_as_were_asked_for():
    counts = [round(10_000 / (i + 1)) for i in range(2000)]
    sampler = WordSampler(counts, 300)
    torch.manual_seed(0)
    labels = torch.tensor([1999, 1999, 7])
    drawn = [sampler.draw(labels) for _ in range(50)]
    assert abs(sum(len(sample.words) for sample in drawn) / 50 - 300) < 10
    for words, log_chance, places in drawn:
        assert_identical(words[places], labels)
        assert_identical(words, words.unique())
        assert (log_chance <= 0).all() and log_chance.isfinite().all()


def test_with_all_words_the_loss_is_that_of_the_full_softmax():
    examples = some_examples()
    net, batch = small_net(examples, dropout=0.0), examples.batch(0, 0)
    sampler = WordSampler(examples.vocab.counts, len(examples.vocab) - 1e-9)
    assert_close(pretraining_losses(net, batch, sampler=sampler), pretraining_losses(net, batch))


def test_the_loss_of_a_sample_corrects_for_how_likely_each_word_is_drawn():
    examples = some_examples()
    net, batch = small_net(examples, dropout=0.0), examples.batch(0, 0)
    sampler, encoded = WordSampler(examples.vocab.counts, 8), read_out(net, batch)
    torch.manual_seed(3)
    words, log_chance, labels = sampler.draw(encoded.labels)
    assert log_chance.min() < -0.1
    logits = F.linear(encoded.features, net.word_vectors[words], net.mlm.bias[words] - log_chance)
    torch.manual_seed(3)
    got = pretraining_losses(net, batch, sampler=sampler)
    assert_close(got.mlm, F.cross_entropy(logits, labels))


def test_it_leads_to_the_probabilities_that_the_full_softmax_leads_to():
    """One bias for each word is trained on words drawn by their frequency."""
    sampler, bias = WordSampler(COUNTS, 5), torch.zeros(len(COUNTS), requires_grad=True)
    wanted = (torch.tensor(COUNTS) / sum(COUNTS)).double()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([bias], lr=0.05)
    mean = torch.zeros(len(COUNTS))
    for step in range(1500):
        labels = wanted.multinomial(64, replacement=True, generator=generator)
        words, log_chance, places = sampler.draw(labels)
        loss = F.cross_entropy((bias[words] - log_chance).expand(64, -1), places)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 500:
            mean += bias.detach() / 1000
    found = mean[2:8].softmax(0)
    assert_close(found, (wanted[2:8] / wanted[2:8].sum()).float(), rtol=0.15, atol=0.005)


def test_a_run_with_sampled_words_repeats():
    def run(**settings):
        examples = some_examples()
        return losses(train_steps(small_net(examples), examples, Settings(num_steps=6, **settings)))

    sampled = run(sampled_words=8)
    assert_identical(sampled, run(sampled_words=8))
    assert (sampled[:, 0] < run()[:, 0]).all()  # the right one of few words is easier to tell
