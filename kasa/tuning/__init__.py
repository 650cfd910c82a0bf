"""One run: its head, adapters, baselines, training and measurements."""
