"""Lesson 4: exercises that answer back.

`specifications` has all twelve, `check` compares a function with one of them, `guard` runs it where
it can do no harm, `answers` remembers what is solved. `variations` and `memory` are for the two
questions of d2l, and the first for trying things out.
"""
