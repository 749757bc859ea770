"""sotto: differentially private training, and what it costs."""
