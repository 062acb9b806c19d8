"""The inner parts of data loading, at the paths PyTorch has them: collating, reading batches, worker processes."""
