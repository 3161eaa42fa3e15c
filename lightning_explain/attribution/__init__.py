"""The attribution engine: how (methods) times where (places)."""
