"""How a speller learns: text as a model would hear it, from errors that it makes on real speech."""

from src.spelling.confusions import Confusions, heard_as
from src.spelling.learning import Learner, Recipe
from src.spelling.written import Written

__all__ = ["Confusions", "Learner", "Recipe", "Written", "heard_as"]
