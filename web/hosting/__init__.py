"""What whoever hosts the app needs beyond the sign-in: commands, the log, figures."""
