"""How a checkpoint is made. Arrives with the companion trainer; see CHANGELOG.md for what is there today."""
