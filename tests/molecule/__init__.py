"""Each role alone, in its scenario of molecule/."""
