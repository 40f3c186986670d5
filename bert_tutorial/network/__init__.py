"""Lesson 2, the network; `fast` has what was written for speed, beside its plain twins."""
