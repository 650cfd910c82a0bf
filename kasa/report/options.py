"""What a person chooses for the meeting pack: language, audience, sections, company, logo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Audience = Literal["management", "technical"]
AUDIENCES: tuple[Audience, ...] = ("management", "technical")
# What a management meeting reads; a technical one reads every section.
MANAGEMENT_SECTIONS = (
    "decision",
    "verdict",
    "gates",
    "arms",
    "tradeoff",
    "costs",
    "dependence",
    "stages",
    "data",
    "handling",
    "limits",
    "phrases",
    "questions",
    "glossary",
)


@dataclass(frozen=True)
class PackOptions:
    """The choices for one pack; empty `sections` are the audience's usual ones.

    `logo` is a PNG or JPEG file's content, `template` a PowerPoint file's whose look the slides
    take; empty for none.
    """

    lang: str = "en"
    audience: Audience = "technical"
    sections: tuple[str, ...] = ()
    company: str = ""
    logo: bytes = b""
    template: bytes = b""

    def shows(self, section: str) -> bool:
        """Say whether a section belongs into this pack."""
        if self.sections:
            return section in self.sections
        return self.audience == "technical" or section in MANAGEMENT_SECTIONS
