"""What a run will need before anything is loaded: memory of each GPU, FLOPs and bytes of a step."""
