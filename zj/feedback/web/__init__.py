"""The pages of the ranking tool: templates, styles, the script of the ranking page, and their words in two languages."""
