"""What the tests share: small facts, tokenizers, models, data and runs, and counts that trust no code of the project.

``facts``, ``plain`` and ``texts`` need numpy alone; the other modules need the frameworks that their names say.
"""
