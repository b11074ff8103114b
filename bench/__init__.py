"""What python -m bench times: each phase by the project's own functions and by what a user would pick instead."""
