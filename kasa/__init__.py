"""KaSA PoC Studio's library: spectra, truncation, fair small-data fine-tunes and their verdict."""

__version__ = "0.1.0"
