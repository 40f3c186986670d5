"""Lesson 2, the training.

`optimizers`, `evaluation` (held-out losses and baselines), `training` (recipe and steps),
`parallel` (several processes), `runs` (a run in the background), `run_store` (a run on disk),
`live` (a run that is watched).
"""
