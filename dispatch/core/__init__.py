"""Everything dispatch decides, as pure functions over records."""
