"""`manage.py bench memory`: is it found, how soon, and what does it cost to keep?"""
