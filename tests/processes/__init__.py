"""Real electors and real clients under real faults: signals, forks, dead proxies, two electors on one file.

Each process writes what happens to it (`history.py`), the store keeps every write, and both are checked at the end of
each test (`checker.py`). Upper bounds of time are generous, so that a slow machine fails nothing; lower bounds are
exact.
"""
