"""Lesson 1: from a text (`corpora`) to pretraining examples (`examples`)."""
