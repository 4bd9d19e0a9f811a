"""The filters of the platform, asked at Schoolbell: what is sent, what is done with the answer, or without one."""
