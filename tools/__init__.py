"""Programs for the people who maintain this project; nothing that runs needs them."""
