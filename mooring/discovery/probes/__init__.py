"""What an open port is asked, and how: ``port.identify_port``, ``udp.ask_udp``."""
