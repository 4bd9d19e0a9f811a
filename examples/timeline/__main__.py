from receiver import main
from timeline import Timeline

main(Timeline, "Keeps the history of every student and assignment.")
