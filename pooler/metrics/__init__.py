"""The numbers that Prometheus reads: collected in each process, summed over all, written as text."""
