"""Lesson 3: what a pretrained network makes of a text.

`encoding` (vectors, layers, attention), `fill_mask` (guesses), `occurrences` (where a word stands
in a known sense), `senses` (does a vector know which one, and with how few labels?), `word_order`,
`contexts` (one word in two sentences).
"""
