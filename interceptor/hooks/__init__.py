"""How plugins take part in queries: hooks, plans, decisions, and the containment of what goes wrong in them.

Plugins import from ``interceptor`` itself. The server begins with ``loading.load_plugins`` and ``plans.PlanTables``;
each module is imported from where it is, since the configuration needs ``sources`` alone.
docs/design/hooks.md has the reasons, docs/reference/hooks.md the hooks.
"""
