"""Speed on a reader's own machine: ``python -m bncourse bench``."""
