"""The operations of the open-source Svix server: what Schoolbell must answer, and to whom."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    method: str
    path: str  # after /api/v1
    who: str  # "organization", "application" (also that application's own token), "anyone"


def _read(table: str) -> "list[Operation]":
    who = {"O": "organization", "A": "application", "-": "anyone"}
    rows = [line.split() for line in table.strip().splitlines()]
    return [Operation(method, path, who[letter]) for letter, method, path in rows]


# O: organization token only. A: organization token or the application's own. -: no token is looked at.
OPERATIONS = _read("""
O GET    /app
O POST   /app
A GET    /app/{app_id}
O PUT    /app/{app_id}
O PATCH  /app/{app_id}
O DELETE /app/{app_id}
A GET    /event-type
O POST   /event-type
A GET    /event-type/{event_type_name}
O PUT    /event-type/{event_type_name}
O PATCH  /event-type/{event_type_name}
O DELETE /event-type/{event_type_name}
A GET    /app/{app_id}/endpoint
A POST   /app/{app_id}/endpoint
A GET    /app/{app_id}/endpoint/{endpoint_id}
A PUT    /app/{app_id}/endpoint/{endpoint_id}
A PATCH  /app/{app_id}/endpoint/{endpoint_id}
A DELETE /app/{app_id}/endpoint/{endpoint_id}
A GET    /app/{app_id}/endpoint/{endpoint_id}/secret
A POST   /app/{app_id}/endpoint/{endpoint_id}/secret/rotate
A GET    /app/{app_id}/endpoint/{endpoint_id}/headers
A PUT    /app/{app_id}/endpoint/{endpoint_id}/headers
A PATCH  /app/{app_id}/endpoint/{endpoint_id}/headers
A GET    /app/{app_id}/endpoint/{endpoint_id}/stats
O POST   /app/{app_id}/endpoint/{endpoint_id}/send-example
A POST   /app/{app_id}/endpoint/{endpoint_id}/recover
A GET    /app/{app_id}/endpoint/{endpoint_id}/msg
A GET    /app/{app_id}/msg
O POST   /app/{app_id}/msg
A GET    /app/{app_id}/msg/{msg_id}
O DELETE /app/{app_id}/msg/{msg_id}/content
A GET    /app/{app_id}/attempt/endpoint/{endpoint_id}
A GET    /app/{app_id}/attempt/msg/{msg_id}
A GET    /app/{app_id}/msg/{msg_id}/attempt/{attempt_id}
O DELETE /app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content
A GET    /app/{app_id}/msg/{msg_id}/endpoint
A POST   /app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend
O POST   /auth/app-portal-access/{app_id}
- POST   /auth/logout
- GET    /health
- HEAD   /health
- GET    /health/ping
- HEAD   /health/ping
""")
assert len(OPERATIONS) == 43


def without_names(path: str) -> str:
    """The path with `{}` for each parameter, so that names of parameters do not matter."""
    return re.sub(r"{[^}]*}", "{}", path)
