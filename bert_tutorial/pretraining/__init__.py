"""Lesson 2, the training: `training` has the loop and d2l's `train_bert`."""
