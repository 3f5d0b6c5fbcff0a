"""Proofs by repetition: hours on a quiet machine, their results committed in bench/results."""
