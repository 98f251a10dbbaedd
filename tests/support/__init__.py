"""What the tests share: a loop with a deadline, time and ids under control, a real server, signed requests."""
