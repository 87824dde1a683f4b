"""Timing profiles: data files in which every number names its source and how good the evidence is."""

from .profile import EVIDENCE, Number, Profile, engine_numbers, load_profile, profile_names

__all__ = ["EVIDENCE", "Number", "Profile", "engine_numbers", "load_profile", "profile_names"]
