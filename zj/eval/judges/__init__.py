"""Judges of answers: two side by side by a language model, one by a rubric, several by people who see no names."""
