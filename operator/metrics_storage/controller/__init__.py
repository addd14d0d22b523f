"""The controller: watches MetricsStorages and makes claims, volumes, directories and archives follow."""
