"""Building data: steps that turn records into a cleaner set of records, each with a report."""
