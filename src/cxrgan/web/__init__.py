"""The page: watch runs, make images, explore what a generator knows, and tell real from synthetic. Extra `web`."""
