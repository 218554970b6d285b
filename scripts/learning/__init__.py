"""What scripts that learn from text share: the text itself, and trainings that are never lost."""
