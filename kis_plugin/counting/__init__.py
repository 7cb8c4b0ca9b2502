"""How often the base text tells each fact: names found in text as it streams by, on all cores."""
