"""Seeded worlds: the real services, real SQL and the real engine on virtual time, with everything that may go wrong."""
