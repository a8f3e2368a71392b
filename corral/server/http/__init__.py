"""HTTP: the REST API, its streams of changes, its consoles and its documentation.

In this room   one application over the server core: parse, call, present; no rules of the product
Comes in       requests, each with a token; the core's mirror (reads) and services (changes)
Goes out       JSON, server-sent events, problem details (RFC 9457), figures for Prometheus
Always true    every route asks for a token unless it says `public`; reads never touch the store
Next door      server/services has the rules; client/ is the other end of this
Start here     app.py; routes/ has one module a noun
"""
