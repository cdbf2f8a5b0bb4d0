"""The console: pages for people who operate Sluice."""
