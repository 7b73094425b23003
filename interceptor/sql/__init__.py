"""What a text of SQL is and does. The only package that parses SQL."""
