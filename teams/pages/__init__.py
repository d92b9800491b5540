"""The pages where teams are made and set to work. Each view makes one call into the domain and shows what comes of it."""
