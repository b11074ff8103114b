"""What a ranking is: criteria, orders with ties, who agrees, what is exported. Nothing here knows of files or pages."""
