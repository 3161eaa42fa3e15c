"""Another backward pass, operator by operator: a table operator -> rule for each family of methods."""
