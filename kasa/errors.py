"""Every failure a user can cause, as one tree.

    KasaError
    ├── ModelError      a base model cannot be found, trusted or adapted
    ├── DataError       a file cannot be read or does not hold what training needs
    ├── StudyError      a study file or setting is wrong
    ├── TrainingError   a run failed, or the guard found that it did not do what it says
    └── StoreError      the workspace cannot be read or written

An error carries a catalogue code and its values, so that the same failure reads well in a terminal,
in a page and in a report, in Japanese or English: what happened, the likely cause, what to do.
"""

from __future__ import annotations

from typing import Any

from kasa.text import Translator, translator


class KasaError(Exception):
    """A failure with a catalogue code; ``errors.<code>`` holds its `what`, `cause` and `do`."""

    def __init__(self, code: str, /, **values: Any) -> None:
        """Keep the code and the values its sentences need."""
        super().__init__(code, values)
        self.code = code
        self.values = values

    def parts(self, text: Translator) -> tuple[str, str, str]:
        """Return (what happened, likely cause, what to do) in the translator's language."""
        what, cause, do = (
            text(f"errors.{self.code}.{part}", **self.values) for part in ("what", "cause", "do")
        )
        return what, cause, do

    def message(self, lang: str = "en") -> str:
        """Return the three sentences as one text."""
        return " ".join(part for part in self.parts(translator(lang)) if part)

    def __str__(self) -> str:
        """Return the English message."""
        return self.message("en")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record that `from_dict` reads back."""
        return {"type": type(self).__name__, "code": self.code, "values": self.values}

    @staticmethod
    def from_dict(record: dict[str, Any]) -> KasaError:
        """Rebuild the error that `to_dict` recorded."""
        kinds = {kind.__name__: kind for kind in KasaError.__subclasses__()}
        kind = kinds.get(record["type"], KasaError)
        return kind(record["code"], **record["values"])


class ModelError(KasaError):
    """A base model cannot be found, trusted or adapted."""


class DataError(KasaError):
    """A file cannot be read or does not hold what training needs."""


class StudyError(KasaError):
    """A study file or setting is wrong."""


class TrainingError(KasaError):
    """A run failed, or the guard found that it did not do what it says."""


class StoreError(KasaError):
    """The workspace cannot be read or written."""
