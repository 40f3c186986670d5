"""Lesson 4: exercises that answer back.

`specifications` has all twelve, `check` compares a function with one of them, `guard` runs it where
it can do no harm, `answers` remembers what is solved. `chance` and `memory` are for the two
questions of d2l, `variations` and `short_runs` for trying things out.
"""
