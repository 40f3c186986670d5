"""Lesson 2, the training.

`optimizers`, `evaluation` (held-out losses), `baselines` (what counting reaches), `cooccurrence`
(counted word vectors), `training` (recipe and steps), `parallel` (several processes), `runs` (a run
in the background), `run_store` (a run on disk), `live` (a run that is watched).
"""
