"""Trainings that pause, are saved and go on.

`settings` (what makes a run), `run` (a thread that trains), `saved_runs` (on disk), `queue` (one
after the other), `experiments` (prepared comparisons), `overlay` (curves over one another), `fits`
(what fits into memory, and what it costs).
"""
