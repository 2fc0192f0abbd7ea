"""Other people's computers, through a Dask scheduler: boards that measure, and processes that evaluate.

Queues, heartbeats, retries and encryption are Dask's. Nothing else in hwprofile imports it.
"""
