"""Infusion: which texts each row of the run carries, exactly."""
