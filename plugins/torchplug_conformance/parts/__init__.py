"""The parts of the suite: each module's `cases(subject)` yields the cases of one part for a backend."""
