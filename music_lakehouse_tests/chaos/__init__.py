"""What a run of the pipeline survives: kills, lost checkpoints, brokers that go, disks that are full."""
