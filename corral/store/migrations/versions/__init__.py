"""One file a step of the schema, named by its number. The newest one's number is database.HEAD."""
