"""What the runners share: allocators and turns, figures and their tables, plots."""
