"""Scheduler: arrays in, decisions out; no I/O, no clock.

In this room   fleet.py, the columns, kept up to date from changes; placement.py, filters, scores, reasons
Next door      controllers/placement.py feeds it and commits what it decides
Start here     placement.place()
"""
