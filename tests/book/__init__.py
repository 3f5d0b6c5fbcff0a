"""The book, typed as its reader types it: rows as data, a terminal on a pty, and the labs that run them."""
