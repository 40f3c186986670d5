"""Lesson 1: from a text to pretraining examples.

In the order of the way: `corpora` (which texts there are), `wikitext_format`, `download`,
`wikitext2`, `own_file` (how they are read), `vocabulary`, `tokenized`, `pairs`, `masking`,
`batch`, `examples`.
"""
