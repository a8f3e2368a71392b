"""Test guest: a disk image of about 17 MB that boots in seconds, from the packages of this machine.

In this room   build(), and the guest's own scripts under files/
Comes in       this machine's kernel, BusyBox, guest agent and SSH server
Goes out       a qcow2 that boots from its disk by BIOS, reads a NoCloud seed, takes an address by DHCP, answers
               QEMU's guest agent, has a shell on ttyS0, and says "corral-guest: up NAME ADDRESS" there
Always true    the same inputs give the same image, and it is built anew only when they changed
Next door      contents.py (what is in it), cpio.py, disk.py; files/rc.sh (what the guest does)
Start here     build(); by hand: python -m corral.lab.guest OUT.qcow2
"""

from corral.lab.guest.build import GuestImageFailed, build

__all__ = ["GuestImageFailed", "build"]
