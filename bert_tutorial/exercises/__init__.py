"""Lesson 4: exercises that answer back; all twelve are in `specifications`."""
