"""Answers to rank: sampled from models, or made up for a demo."""
