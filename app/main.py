"""The entry: `streamlit run app/main.py`, started by `python -m app`."""

import sys
from pathlib import Path

# Streamlit puts only app/ on the path; the packages lie one folder up.
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    from app import shell

    shell.main()
