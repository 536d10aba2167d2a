"""Notebooks draw inline: a backend chosen in the shell or for the tests must not reach them."""

import os

os.environ.pop("MPLBACKEND", None)
