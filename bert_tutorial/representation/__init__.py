"""Lesson 3: what a pretrained network makes of a text.

`encoding` (vectors, layers, attention), `fill_mask` (guesses), `senses` (does a vector know which
meaning a word has?), `pseudowords` (senses for any text).
"""
