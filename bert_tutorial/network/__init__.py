"""Lesson 2, the network: its sizes, its layers, its losses, and its weights on disk.

`config`, `model`, `mode` (training or evaluation), `losses`, `fast` (two parts written for speed,
each beside its plain twin), `checkpoints` (our own files), `hub_names`, `hub_files` and `hub`
(reading published BERTs), `hub_export` (writing ours as those are written).
"""
