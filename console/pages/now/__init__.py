"""Now: is money flowing?"""
