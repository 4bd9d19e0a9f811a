"""Models with the attributes of the platform's own that filters look at."""

from django.conf import settings
from django.db import models


class UserProfile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile")
    name = models.CharField(max_length=255, default="")
    city = models.CharField(max_length=255, null=True)
    year_of_birth = models.IntegerField(null=True)


class Enrollment(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    course_id = models.CharField(max_length=255)
    mode = models.CharField(max_length=20, default="audit")
    is_active = models.BooleanField(default=True)


class Cohort(models.Model):
    name = models.CharField(max_length=255)
    course_id = models.CharField(max_length=255)
    group_type = models.CharField(max_length=20, default="cohort")


class Membership(models.Model):
    course_user_group = models.ForeignKey(Cohort, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    course_id = models.CharField(max_length=255)
