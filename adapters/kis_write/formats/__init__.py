"""The file formats that ``kis write`` writes, each as its framework reads it."""
