"""Flagger: Deployments whose traffic it moves and which it promotes, by our checks."""
