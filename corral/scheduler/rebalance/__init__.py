"""Rebalance: which VMs move where, in which order, and what that takes; no I/O, no clock.

In this room   problem.py, what is given, as plain arrays; arena.py, the same while it is tried on; scores.py, spares.py,
               compiled loops over it; search.py, the moves that help most; settle.py, the order in which they can be
               made; plan.py, what is asked for and what comes out
Always true    equal problems give equal plans. No step overfills a node, breaks a required rule, or leaves the loss of
               a failure domain that could be absorbed before unabsorbed.
Next door      controllers/rebalance.py makes problems of the mirror and carries plans out
Start here     plan.plan_moves()
"""
