"""Studies on fictional facts, whose chance level is known: templates, budgets, continued pretraining, the guard."""
