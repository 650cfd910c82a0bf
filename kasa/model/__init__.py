"""Base models: where they come from, their weights one at a time, whether they read the data."""
