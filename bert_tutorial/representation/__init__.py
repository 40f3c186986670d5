"""Lesson 3: what a pretrained network makes of a text.

`encoding` (vectors, layers, attention), `fill_mask` (guesses), `occurrences` and `senses` (does a
vector know which meaning a word has?), `pseudowords` (senses for any text), `few_labels` (beside a
bag of words), `word_order`, `contexts` (one word in two sentences), `learned` (what a network
knows so far, while it trains).
"""
