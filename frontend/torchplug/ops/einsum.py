"""Contractions given by labels or dimensions: einsum, tensordot and their kin."""
