"""The parts of the internet that labctl reads, served in a network namespace that has loopback only.

What a replica cannot know of the real sites is listed in `docs/contributing/the-replica.md`.
"""
