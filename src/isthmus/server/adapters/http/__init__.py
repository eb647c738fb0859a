"""What all HTTP routes share: access, errors, the edge of every request, and what routes ask for."""
