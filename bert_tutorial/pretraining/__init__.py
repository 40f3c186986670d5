"""Lesson 2, the training.

`settings`, `cooccurrence` (counted word vectors to begin with), `optimizers`, `evaluation` (of
held-out text, and what counting reaches there), `training` (the loop), `loss_plot` (its picture),
`live` (d2l's `train_bert`).
"""
