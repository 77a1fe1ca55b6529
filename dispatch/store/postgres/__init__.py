"""The store on PostgreSQL, for several servers on one database."""
