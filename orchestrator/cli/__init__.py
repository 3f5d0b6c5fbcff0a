"""The command line: parse, call one workflow, render its result. Nothing is decided here."""
