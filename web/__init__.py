"""The sign-in: everything that an app of your own keeps. ``app.py`` puts it together."""
