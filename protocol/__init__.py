"""The contract between the packages: messages, states, errors and interfaces. Pure: no I/O, no clock, no chance."""
