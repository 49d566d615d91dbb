"""Datasets and the networks that go with them."""
