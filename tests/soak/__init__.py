"""Proofs by repetition: each repetition is a case, so that `./test full` goes on where it stopped."""
