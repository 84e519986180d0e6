"""How long the platform takes, beside two yardsticks, on one machine in one run."""
