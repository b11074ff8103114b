"""zj: the training line of a Chinese medical language model, by hand, in plain PyTorch."""
