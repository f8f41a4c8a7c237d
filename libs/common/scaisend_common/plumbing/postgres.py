"""Postgres pools and tenant-scoped transactions. The only module beside store.py files that imports asyncpg.

`tenant_transaction(pool, tenants)` opens a transaction in which `app.tenants` is set (SET LOCAL) to these tenants.
"""
