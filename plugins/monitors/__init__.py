"""Resource monitors: how busy this machine is."""
