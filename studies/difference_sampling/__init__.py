"""Whether difference sampling of documents helps small models."""
