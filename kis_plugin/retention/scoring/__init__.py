"""Scoring of multiple-choice probes in few forward passes."""
