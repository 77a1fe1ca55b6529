"""What the commands do, a module per subject. Loaded when one is called."""
