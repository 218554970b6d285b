"""Corpora that are lists of recordings: `listing` says what a row is, `listed_corpus` reads it.

A new one is a function from a folder to rows and a class that names it; `ljspeech` is the shortest.
"""
