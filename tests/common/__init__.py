"""What the runners of all tests share.

Runs on Python 3.9, too, which is Debian 11's.
"""
