"""Data of the experiments that test the papers' claims: made of the clinic's facts and sentences, beside its own files."""
