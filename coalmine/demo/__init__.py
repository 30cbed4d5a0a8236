"""Three releases on one machine: the main job, shown."""
