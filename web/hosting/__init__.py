"""How the app is served, kept within its bounds and watched: nothing of it is about signing in."""
