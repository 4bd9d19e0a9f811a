"""What is sent of a filter's arguments: for the filters that the original plugin offers, its keys in its order."""

import logging
from collections.abc import Callable
from typing import Any

from openedx_schoolbell.wire import Writer

log = logging.getLogger(__name__)

# Rows of a query set that are sent: it may hold every enrolment there is.
ROWS = 1_000


def payload(filter_name: str, writer: Writer, arguments: dict[str, Any]) -> dict[str, Any]:
    """The request without its metadata."""
    build = BUILDERS.get(filter_name)
    members = build(arguments) if build else arguments
    return writer.members((name, _plain(value, writer)) for name, value in members.items())


def profile_of(user: Any) -> Any:
    """A user's profile; none if there is none."""
    try:
        return getattr(user, "profile", None)
    except Exception:
        return None


class _Rows:
    """A query set that is sent as its rows."""

    def __init__(self, queryset: Any):
        self.queryset = queryset


def _plain(value: Any, writer: Writer) -> Any:
    if isinstance(value, _Rows):
        try:
            rows = list(value.queryset.all()[:ROWS])
        except Exception as error:
            log.warning("a query set cannot be read for a webfilter: %s", error)
            return []
        return [writer.row(row) if hasattr(row, "_meta") else row for row in rows]
    return value


def _login(a: dict[str, Any]) -> dict[str, Any]:
    user = a.get("user")
    # The login of an account that there is not.
    return {} if user is None else {"user": user, "profile": profile_of(user)}


def _enrollment(a: dict[str, Any]) -> dict[str, Any]:
    return {"user": a["user"], "profile": profile_of(a["user"]), "course_key": a["course_key"], "mode": a["mode"]}


def _unenrollment(a: dict[str, Any]) -> dict[str, Any]:
    user = getattr(a["enrollment"], "user", None)
    return {"user": user, "profile": profile_of(user), "enrollment": a["enrollment"]}


def _certificate(a: dict[str, Any]) -> dict[str, Any]:
    names = ("user", "course_key", "mode", "status", "grade", "generation_mode")
    return {
        **{name: a[name] for name in names},
        "profile": profile_of(a["user"]),
        "completion_summary": _completion(a["course_key"], a["user"]),
    }


def _certificate_page(a: dict[str, Any]) -> dict[str, Any]:
    context = a["context"] or {}
    summary = None
    try:
        from django.contrib.auth import get_user_model
        from opaque_keys.edx.keys import CourseKey

        user = get_user_model().objects.get(id=context["accomplishment_user_id"])
        summary = _completion(CourseKey.from_string(str(context["course_id"])), user)
    except Exception as error:
        log.info("no completion summary for a certificate: %s", error)
    return {"context": a["context"], "custom_template": a["custom_template"], "completion_summary": summary}


def _completion(course_key: Any, user: Any) -> Any:
    """How much of a course somebody has completed; only the platform itself knows."""
    try:
        from lms.djangoapps.courseware.courses import get_course_blocks_completion_summary

        return get_course_blocks_completion_summary(course_key, user)
    except Exception as error:
        log.info("no completion summary: %s", error)
        return None


def _cohort_change(a: dict[str, Any]) -> dict[str, Any]:
    membership = a["current_membership"]
    user = getattr(membership, "user", None)
    return {
        "current_membership": membership,
        "target_cohort": a["target_cohort"],
        "user": user,
        "user_profile": profile_of(user),
        "course_key": getattr(membership, "course_id", None),
    }


def _cohort_assignment(a: dict[str, Any]) -> dict[str, Any]:
    return {
        "target_cohort": a["target_cohort"],
        "user": a["user"],
        "user_profile": profile_of(a["user"]),
        "course_key": getattr(a["target_cohort"], "course_id", None),
    }


def _course_id_and(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda a: {"course_id": str(a["course_key"]), name: a[name]}


BUILDERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "StudentLoginRequested": _login,
    # Form fields stand at the top, the last value of each.
    "StudentRegistrationRequested": lambda a: dict(a["form_data"].items()),
    "CourseEnrollmentStarted": _enrollment,
    "CourseUnenrollmentStarted": _unenrollment,
    "CertificateCreationRequested": _certificate,
    "CertificateRenderStarted": _certificate_page,
    "CohortChangeRequested": _cohort_change,
    "CohortAssignmentRequested": _cohort_assignment,
    "CourseEnrollmentQuerysetRequested": lambda a: {"enrollments": _Rows(a["enrollments"])},
    "ScheduleQuerySetRequested": lambda a: {"schedules": _Rows(a["schedules"])},
    "CourseHomeUrlCreationStarted": _course_id_and("course_home_url"),
    "CourseEnrollmentAPIRenderStarted": _course_id_and("serialized_enrollment"),
}
