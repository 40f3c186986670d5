"""Lesson 1: from a text to pretraining examples.

In this order: `corpora`, which reads `wikitext_format`, `wikitext2` and `own_file`; `vocabulary`,
`tokenized`, `pairs`, `masking`, `examples`.
"""
