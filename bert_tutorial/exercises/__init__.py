"""Lesson 4: exercises that answer back; all fourteen are in `specifications`."""
