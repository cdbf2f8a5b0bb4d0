"""What a failure means: whose it is, when to try again, what is dead."""
