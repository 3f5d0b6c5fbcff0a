"""The proof of every drill on a real lab."""
