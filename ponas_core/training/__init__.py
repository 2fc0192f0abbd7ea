"""Networks that learn, in torch: blocks as modules, supernets, their training and what it is worth.

Files here import torch at their top; nothing outside imports them before it trains.
"""
