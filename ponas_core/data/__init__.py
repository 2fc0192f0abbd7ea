"""Published accuracies of shipped spaces; origin and licence in NOTICE."""
