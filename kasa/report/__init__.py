"""Charts and the meeting report, from records alone."""
