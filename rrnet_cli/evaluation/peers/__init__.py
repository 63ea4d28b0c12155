"""What a user would take instead of RR-Net, on the same inputs and with the same access."""
