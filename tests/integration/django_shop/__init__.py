"""A small Django project. ``test_frameworks.py`` runs its tests as a Django user would, over a pool of two."""
