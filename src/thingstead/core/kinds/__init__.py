"""Built-in types of object: small classes that core.objects consults on create, present, update and delete."""
