"""Where Captum keeps what its users import by these paths."""
