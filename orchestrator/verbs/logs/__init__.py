"""The verb `logs`: a support archive, and what is taken out of it."""
