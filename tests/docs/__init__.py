"""The README and the pages of `docs/`: what they show is run, and what they list is compared with the code."""
