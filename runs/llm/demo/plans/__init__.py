"""What the model does about each wish: generators that ask for tool calls and end in a report."""
