"""Lesson 5: tasks with few labels, small heads on a pretrained BERT, and their controls."""
