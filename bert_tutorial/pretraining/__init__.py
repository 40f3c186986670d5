"""Lesson 2, the training: `training` has the loop, and `live` d2l's `train_bert`."""
