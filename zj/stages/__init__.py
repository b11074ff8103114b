"""What the five training scripts share: what a stage starts from, the state of a run, preferences, roles."""
