"""Child processes that run some of this project's tests: one channel, one plugin inside, one pool.

A plain run, repeated processes and the two sides of a paired comparison are plans for them.
"""
