"""Corral: central control of KVM hosts. Start at README.md; the layers are in docs/architecture.md."""

__version__ = "0.1.0"
