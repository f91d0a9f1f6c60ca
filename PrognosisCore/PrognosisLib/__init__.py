"""Shared library of the Prognosis extension: everything that two systems need, once."""
