"""The verb `drill`: its session, its nodes, its lint and the report of a class."""
