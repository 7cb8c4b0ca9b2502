"""Knowledge: facts and passages, where they are read from, and which of them are controls."""
