"""Compares two results of one pipeline on one video, with tolerances.

`tolerance` says what counts as equal, `rows` pairs the rows of lists, `values` compares one frame's outputs, `compare` goes through two
streams of lines, `changes` says what differs between two run records.
"""
