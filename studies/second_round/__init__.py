"""Second round of the evidence: number of facts, templates, acting guards, third seeds and a left-out place."""
