"""A step that decodes some of the words only."""

import torch
from small import assert_identical, losses, small_net, some_examples
from torch.nn import functional as F
from torch.testing import assert_close

from bert_tutorial.network.fast import WordSampler
from bert_tutorial.network.losses import pretraining_losses, read_out
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.pretraining.training import train_steps


def test_as_many_words_are_drawn_as_were_asked_for():
    sampler = WordSampler([round(10_000 / (i + 1)) for i in range(2000)], 300)
    labels = torch.tensor([1999, 1999, 7])
    drawn = [sampler.draw(labels, seed) for seed in range(50)]
    assert abs(sum(len(sample.words) for sample in drawn) / 50 - 300) < 10
    for words, log_chance in drawn:
        assert torch.isin(labels, words).all()
        assert_identical(words, words.unique())
        assert (log_chance <= 0).all() and log_chance.isfinite().all()


def test_each_word_is_drawn_as_often_as_is_said():
    counts, times, said = [0, 0, 500, 200, 100, 50, 20, 10, 5, 2, 1], torch.zeros(11), [0.0] * 11
    sampler = WordSampler(counts, 5)
    torch.manual_seed(0)
    for seed in range(3000):
        drawn = sampler.frequency.multinomial(8, replacement=True)
        words, log_chance = sampler.draw(drawn, seed)
        times[words] += 1
        for word, chance in zip(words.tolist(), log_chance.exp().tolist(), strict=True):
            said[word] = chance
    assert_close(times / 3000, torch.tensor(said), rtol=0, atol=0.03)
    assert min(said) < 0.1 and max(said) > 0.9


def test_the_loss_of_a_sample_corrects_for_how_likely_each_word_is_drawn():
    examples = some_examples()
    net, batch = small_net(examples, dropout=0.0), examples.batch(0, 0)
    sampler, encoded = WordSampler(examples.vocab.counts, 8), read_out(net, batch)
    sample = words, log_chance = sampler.draw(encoded.labels, 3)
    labels = torch.searchsorted(words, encoded.labels)
    assert log_chance.min() < -0.1
    logits = F.linear(encoded.features, net.word_vectors[words], net.mlm.bias[words] - log_chance)
    got = pretraining_losses(net, batch, sample=sample)
    assert_close(got.mlm, F.cross_entropy(logits, labels))


def test_a_run_with_sampled_words_repeats():
    def run(**settings):
        examples = some_examples()
        return losses(train_steps(small_net(examples), examples, Settings(num_steps=6, **settings)))

    sampled = run(sampled_words=8)
    assert_identical(sampled, run(sampled_words=8))
    assert (sampled[:, 0] < run()[:, 0]).all()  # the right one of few words is easier to tell
