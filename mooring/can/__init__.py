"""Docker networks that are CAN buses, and come back after a reboot."""
