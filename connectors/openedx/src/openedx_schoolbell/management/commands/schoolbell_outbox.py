"""`manage.py lms schoolbell_outbox`: what waits for Schoolbell, and what it refused."""

import time

from django.core.management.base import BaseCommand, CommandError

from openedx_schoolbell.courier import courier


class Command(BaseCommand):
    """Shows the outbox of this service, and sends what is in it."""

    help = "Shows which events wait for Schoolbell, and which it refused."

    def add_arguments(self, parser):
        parser.add_argument("--send", action="store_true", help="sends what waits, now")
        parser.add_argument("--retry-rejected", action="store_true", help="lets what was refused wait again")
        parser.add_argument("--drop-rejected", action="store_true", help="forgets what was refused")

    def handle(self, *args, **options):
        outbox = courier().outbox
        if options["retry_rejected"]:
            self.stdout.write(f"{outbox.retry_rejected()} refused events wait again")
        if options["drop_rejected"]:
            self.stdout.write(f"{outbox.drop_rejected()} refused events forgotten")
        if options["send"]:
            try:
                if not courier().drain():
                    self.stdout.write("another process is sending")
            except Exception as error:
                raise CommandError(f"Schoolbell cannot be reached: {error}") from error
        count, oldest = outbox.count()
        since = f", the oldest for {time.time() - oldest:.0f} s" if oldest else ""
        self.stdout.write(f"{count} events wait in {outbox.path}{since}")
        for event_id, reason in outbox.rejected():
            self.stdout.write(f"refused: {event_id}: {reason}")
