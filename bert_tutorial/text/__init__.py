"""Lesson 1: from a text to pretraining examples.

In the order of the way: `corpora` (which texts there are), `wikitext_format`, `wikitext2` and
`own_file` (how they are read), `vocabulary`, `tokenized`, `pairs`, `masking`, `examples`.
"""
