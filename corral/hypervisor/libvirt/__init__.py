"""The real driver: libvirt 9 and QEMU. Start at driver.py; only driver, connection and what they call import libvirt."""
