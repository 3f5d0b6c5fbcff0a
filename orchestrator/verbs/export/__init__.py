"""The verb `export`: the nodes for other programs."""
