"""One service per noun. Each method loads, lets the core decide, and saves, in one transaction."""
