"""A simulated patient examines a doctor model (HuatuoGPT, section 4.2.2)."""
