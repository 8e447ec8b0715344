"""Results as tables for people; each number with how it was made."""
