from likeness import Likeness
from receiver import main

main(Likeness, "Lists submissions that are suspiciously alike.")
