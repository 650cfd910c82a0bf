"""What the evidence says about two arms, and what it costs."""
