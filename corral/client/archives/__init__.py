"""Archives: a whole VM as one file, native or OVA.

In this room   what is in such a file (contents.py), reading one with distrust (reading.py), writing one (writing.py),
               OVF (ovf.py), and the way of a VM into it and out of it (moving.py)
Start here     moving.py
"""
