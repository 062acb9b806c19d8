"""Behind `torchplug bench`: runs the asv suite in this environment and lays the engines side by side."""
