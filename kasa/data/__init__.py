"""Reading, checking and splitting the rows people bring."""
