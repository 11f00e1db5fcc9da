"""A virtual machine whose kernel has CAN: a Debian with systemd and Docker."""
