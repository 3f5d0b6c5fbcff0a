"""One module per verb; the story of each verb reads top to bottom."""
