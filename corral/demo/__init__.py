"""Demo: the whole product on simulated nodes in one process, for a look at it and for measuring size.

In this room   fleet.py, a fleet that already runs; program.py, a server with agents on simulated hosts
Next door      server/main.py is the server; hypervisor/simulated/ the hosts
Start here     program.main()
"""
