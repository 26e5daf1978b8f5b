# Blocks of the lab in PyTorch, a file each, found by their name.
