"""Lesson 3: what a pretrained network makes of a text."""
