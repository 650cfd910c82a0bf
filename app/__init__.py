"""The Streamlit shell of KaSA PoC Studio; it imports kasa and never pages."""
