"""The workspace: studies, runs and the processes that carry them out."""
