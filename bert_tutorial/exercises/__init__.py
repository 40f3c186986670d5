"""Lesson 4: exercises that answer back.

`answers` has them all by name. A `check` compares a function with a definition, `guard` runs it
where it can do no harm. `chance` is the first exercise, `memory` the second, `bugs_in_data` and
`bugs_in_training` have the ten bugs; `variations` and `short_runs` are for trying things out.
"""
