"""A ranking project: events in an SQLite file, what they say, who may do what."""
