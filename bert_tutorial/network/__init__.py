"""Lesson 2, the network: its sizes, its layers, its heads, its two losses.

`fast` has what was written for speed, each part beside its plain twin.
"""
