"""The server: listeners, clients, backends, pools, authentication, consoles and the command line.

Plugins never import from here; what they need of the server they get through ``interceptor``.
"""
