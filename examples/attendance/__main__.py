from attendance import Attendance
from receiver import main

main(Attendance, "Computes attendance from Teachstack's peer events.")
