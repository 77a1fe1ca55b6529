"""Sixty damaged films: whatever of them is published is as long as the film said it was, and as what decodes of it."""
