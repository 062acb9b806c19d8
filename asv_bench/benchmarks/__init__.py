"""The benchmarks of torchplug. The engine is a parameter; PyTorch stands beside the engines where it is installed."""
