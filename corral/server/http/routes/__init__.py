"""Routes: one module a noun. ROUTES go below /api/v1, ROUTES_AT_ROOT where they say."""
