"""The no-op plugin: a task that makes nothing."""
