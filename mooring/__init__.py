"""Mooring keeps the hosts and containers of a site mapped, reachable and wired."""

__version__ = "0.1.0"
