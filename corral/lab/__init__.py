"""Lab: several hosts on one Linux machine, made of namespaces, each with its own libvirt and agent.

In this room   plan.py says what a lab is made of; wires.py, machine.py, init.py make it; lab.py runs it
Comes in       a directory, a bridge, an address range, a number of nodes
Goes out       a server and nodes that are as real as the machine's kernel: guests, migrations, sudden deaths
Always true    all that a lab makes lies in its directory or bears its bridge's name; `down` leaves none of it
Next door      corral/cli/lab.py is its command; demo.py shows it; tests/lab lives on it
Start here     lab.py
"""
