"""What a task is: its LightningModule, and how its models are stored and loaded."""
