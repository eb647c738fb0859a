"""The backend's server: API, agent plane and store."""
