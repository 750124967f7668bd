"""Networks that state which unit feeds which columns."""
