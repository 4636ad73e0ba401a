"""Disclosure control: find and replace identity numbers, tabulate, suppress with a proof, and audit."""
