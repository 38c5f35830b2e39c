"""How well search finds: measures of rankings, their certainty, and the arithmetic of published protocols."""
