"""The `measure` task: what must be known of a film before it is encoded. Everything here is pure but `plugin`."""
