"""The main job: a small network learns to read real handwritten digits, on one backend or on all of them."""
