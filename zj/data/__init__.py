"""Files → records → token ids → packs. Import the module you need; this one imports nothing."""
