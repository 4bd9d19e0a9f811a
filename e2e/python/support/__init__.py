"""What the tests share: the server as a process, a receiver, a plain HTTP client. No test lives here."""
