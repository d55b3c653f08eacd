"""What a person meets first: parsing, help, completion, and files that hold a whole run."""
