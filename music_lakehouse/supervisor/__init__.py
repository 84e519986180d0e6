"""Programs that run beside this one: never outliving it, kept running together."""
