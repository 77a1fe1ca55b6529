"""The frames plugin: single pictures of a film, together in one ZIP."""
