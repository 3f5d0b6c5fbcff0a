"""Which cases of a part run now: chosen by changed inputs, age of the last result and recorded seconds."""
