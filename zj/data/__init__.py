"""Files → records → token ids → packs. Import the modules directly."""
