"""What is measured, a module for each group. Each has `measure(settings) -> list[Section]`."""
