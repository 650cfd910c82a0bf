"""What the Spectrum page computes from a finished job's file, kept per file and setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from kasa.spectral.plans import Totals, plan_totals
from kasa.spectral.powerlaw import PowerLaw, fit_power_law
from kasa.spectral.spectrum import Spectrum, load_spectra
from kasa.spectral.truncation import CRITERIA, Options, propose


@dataclass(frozen=True)
class Proposal:
    """A criterion's plan for a whole model (module -> components removed) and its totals."""

    plan: dict[str, int]
    totals: Totals


@st.cache_resource(max_entries=4, show_spinner=False)
def spectra_of(path: str) -> list[Spectrum]:
    """Return a finished job's spectra; its file never changes."""
    return load_spectra(Path(path))


def proposals_of(path: str, options: Options) -> dict[str, Proposal]:
    """Return every criterion's proposal for the spectra in a file."""
    return _proposals(path, options.removed_components, options.tau, options.share)


@st.cache_resource(max_entries=16, show_spinner=False)
def _proposals(path: str, removed: int, tau: float, share: float) -> dict[str, Proposal]:
    spectra = spectra_of(path)
    found = {}
    for criterion in CRITERIA:
        cuts = propose(spectra, criterion, options=Options(removed, tau, share)).cuts
        plan = {module: cut.num_removed for module, cut in cuts.items()}
        found[criterion] = Proposal(plan, plan_totals(spectra, plan))
    return found


@st.cache_resource(max_entries=4, show_spinner=False)
def laws_of(path: str) -> dict[str, PowerLaw | None]:
    """Return the power law of every exact spectrum in a file; a sketch's tail is not known."""
    exact = (s for s in spectra_of(path) if s.method == "exact")
    return {s.module: fit_power_law(s.singular_values) for s in exact}
