"""Where Captum keeps some names that it does not export, and scripts import all the same."""
