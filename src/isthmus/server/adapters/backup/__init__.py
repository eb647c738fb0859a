"""Backups: the sealed file, what is written in it, and the files of the data folder that belong to it."""
