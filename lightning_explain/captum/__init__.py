"""Captum's public names around this package's engine: put ``lightning_explain.`` before ``captum`` in an import."""
