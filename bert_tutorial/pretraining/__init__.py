"""Lesson 2, the training.

`optimizers`, `evaluation` (held-out losses), `baselines` (what counting reaches), `cooccurrence`
(counted word vectors), `recipe`, `training` (the steps), `parallel` (several processes), `runs` (a
run in the background), `run_store` (a run on disk), `kept_runs` (all of them), `live` (a run that
is watched), `loss_plot`, `levels` and `overlay` (its pictures).

What the training panel does: `settings`, `cost` (what they will take), `experiments`, `workbench`.
"""
