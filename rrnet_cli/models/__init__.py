"""RR-Net and nothing else: pure functions of graph and tensors."""
