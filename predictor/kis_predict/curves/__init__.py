"""One model size: curve fits, their noise, and the peak and collapse point."""
