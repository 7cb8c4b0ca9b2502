"""The domains that ``kis synth`` knows; imported for its help, so without anything heavy."""

from __future__ import annotations

__all__ = ["DOMAINS"]

DOMAINS = {"people": " ", "companies": " & "}
"""The domains, with what stands between the two words of a name."""
