"""Lesson 4: exercises that answer back.

A check is a specification: `check` compares a function with a slow, plain reference, `guard` runs
it where it can do no harm, `wording` says what differs. `bugs_loss`, `bugs_masking`, `bugs_network`
and `bugs_text` hold the ten bugs, `hunt` all of them by name, `progress` which ones are solved.
`vocabulary_cut` is the first exercise, `memory` the second; `variations` and `short_runs` are for
trying things out.
"""
