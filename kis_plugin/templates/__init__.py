"""Templates: how facts are phrased."""
