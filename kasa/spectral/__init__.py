"""Singular-value spectra and truncation criteria."""
