"""The words of the grammar: tables that tie every choice to what follows from it.

A word that is drawn (a place, an object, an animal) decides later sentences, so that two
branches of a tree differ in meaning and not only in wording. Words drawn at one place start
with different letters or tokens, are single words, and take the article "a".
"""

from typing import NamedTuple


class Animal(NamedTuple):
    pronoun: str
    trait: str
    helps: str


class Trouble(NamedTuple):
    begins: str
    ends: str


GIRLS = ("Mia", "Anna", "Lily", "Rosa", "Nora", "Ella")
BOYS = ("Tom", "Ben", "Max", "Leo", "Sam", "Finn")
NAMES = GIRLS + BOYS

COLORS = ("red", "blue", "green", "yellow", "black", "white", "brown", "purple")
SIZES = ("little", "young", "friendly", "shy")
FOODS = ("bread", "cheese", "honey", "soup", "milk", "cake", "rice", "jam")
FAMILY = ("mother", "father", "sister", "brother", "uncle", "grandmother")
DIE = ("1", "2", "3", "4", "5", "6")
COIN = ("heads", "tails")
SUITS = ("hearts", "spades", "clubs", "diamonds")
MEALS = ("pasta", "salad", "fish", "pizza")
WINDS = ("north", "south", "east", "west")

ANIMALS = {
    "fox": Animal("he", "clever", "The fox knew a secret path behind the stones."),
    "owl": Animal("she", "wise", "The owl could see every road in the dark."),
    "bear": Animal("he", "strong", "The bear pushed the heavy rocks away."),
    "mouse": Animal(
        "she", "tiny", "The mouse crept through a small hole and came back with an answer."
    ),
    "cat": Animal("she", "quiet", "The cat walked softly and heard everything."),
    "dog": Animal("he", "loyal", "The dog followed the smell to the right place."),
    "rabbit": Animal("he", "quick", "The rabbit ran ahead and showed the way."),
    "turtle": Animal("she", "patient", "The turtle carried the bags slowly and never stopped."),
    "crow": Animal("he", "curious", "The crow flew up and looked at the land from above."),
    "frog": Animal("she", "cheerful", "The frog sang a song, and nobody was afraid any more."),
    "goat": Animal("he", "stubborn", "The goat climbed the steep wall and threw down a branch."),
    "duck": Animal("she", "gentle", "The duck swam across the water and called for help."),
}

# place: what one sees there
PLACES = {
    "forest": (
        "The trees were tall and the path was dark.",
        "Birds were singing in the green leaves.",
        "Soft moss covered the old stones.",
    ),
    "river": (
        "The water was cold and clear.",
        "Silver fish jumped over the waves.",
        "A wooden bridge crossed the water.",
    ),
    "market": (
        "People were selling fruit and flowers.",
        "The baker shouted that his bread was fresh.",
        "It smelled of oranges and warm cakes.",
    ),
    "mountain": (
        "The air was cold and the snow was deep.",
        "Clouds moved slowly below the top.",
        "A narrow road went up and up.",
    ),
    "beach": (
        "The sand was warm and soft.",
        "Small crabs ran into the sea.",
        "White birds were sleeping on the rocks.",
    ),
    "castle": (
        "The gates were high and made of iron.",
        "A tired king looked out of the window.",
        "Flags were flying on the towers.",
    ),
    "school": (
        "The children were learning to count.",
        "A teacher was reading a poem.",
        "Wet coats were hanging on the wall.",
    ),
    "garden": (
        "Bees were humming around the roses.",
        "The grass was wet and soft.",
        "Ripe pears were growing on the old tree.",
    ),
    "farm": (
        "Cows were eating hay in the field.",
        "A farmer was feeding the hens.",
        "The barn was full of corn.",
    ),
    "cave": (
        "Water was dropping from the roof.",
        "Bats were sleeping in the corners.",
        "It was too dark to see the walls.",
    ),
    "library": (
        "Thousands of books stood on the shelves.",
        "An old man was reading near the window.",
        "Nobody spoke louder than a whisper.",
    ),
    "harbor": (
        "Big ships were waiting for the wind.",
        "Sailors were carrying boxes to the boats.",
        "It smelled of salt and fish.",
    ),
}

# object: what it does when it is needed
OBJECTS = {
    "key": "The key opened a hidden door, and behind it they were safe.",
    "lamp": "The lamp began to shine, and at once they could see the way.",
    "rope": "{Name} tied the rope to a tree, and they climbed up together.",
    "map": "The map showed a road that nobody else knew.",
    "bell": "{Name} rang the bell, and people came from every side.",
    "kite": "{Name} let the kite fly, and everybody could see where they were.",
    "drum": "{Name} beat the drum, and the danger ran away from the noise.",
    "book": "The book explained what to do, word by word.",
    "coin": "{Name} paid with the coin, and a man took them away in his cart.",
    "flute": "{Name} played the flute, and everything became calm.",
    "blanket": "{Name} opened the blanket, and they hid under it until it was over.",
    "basket": "They sat down in the basket, and a strong wind carried them away.",
}

TROUBLES = {
    "storm": Trouble("Rain fell and the wind broke the branches.", "Soon the sky was blue again."),
    "flood": Trouble("The water rose up to their knees.", "Slowly the ground became dry."),
    "fire": Trouble(
        "Smoke filled the air and it was hard to breathe.", "In the end the flames went out."
    ),
    "thief": Trouble("A man in a dark coat took their bags.", "The man said that he was sorry."),
    "wolf": Trouble("It showed its long teeth and came closer.", "The animal did not come back."),
    "giant": Trouble(
        "His steps shook the ground like thunder.", "The big man went home over the hills."
    ),
    "ghost": Trouble(
        "It was pale and cried without a sound.", "The pale thing smiled and was gone."
    ),
    "dragon": Trouble(
        "Its wings were wider than a house.", "The great beast flew back to its nest."
    ),
}

# job: the dream that goes with it
JOBS = {
    "sailor": "dreamed of waves and far islands",
    "doctor": "knew the name of every bone",
    "painter": "drew faces on every paper",
    "singer": "sang from morning until night",
    "pilot": "watched the birds and the clouds",
    "cook": "tasted every dish in the kitchen",
    "dancer": "jumped and turned on the table",
    "writer": "kept a pencil behind one ear",
}

# mood: what the hero does with it
MOODS = {
    "happy": "laughed all the way home",
    "tired": "fell asleep before dinner",
    "proud": "told the story to everybody",
    "hungry": "ate three plates of soup",
    "calm": "sat by the window and watched the stars",
    "thankful": "wrote a long letter to the {helper!}",
    "sad": "cried a little, because it was over",
    "brave": "wanted to go out again at once",
}

# weather: what the hero takes along or does
WEATHER = {
    "sunny": "wore a big hat",
    "rainy": "took a large umbrella",
    "windy": "held on to the fence",
    "snowy": "put on warm boots",
    "foggy": "walked slowly and counted the steps",
    "stormy": "stayed close to the houses",
}

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "England": "London",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Russia": "Moscow",
    "Norway": "Oslo",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Portugal": "Lisbon",
    "Kenya": "Nairobi",
    "Cuba": "Havana",
    "Peru": "Lima",
}

# (start of a sentence, its last word)
FACTS = (
    ("A triangle is a shape with", "three", " sides."),
    ("A square is a shape with", "four", " equal sides."),
    ("A week has", "seven", " days."),
    ("A year has", "twelve", " months."),
    ("A spider has", "eight", " legs."),
    ("The sun rises in the", "east", "."),
    ("The sun sets in the", "west", "."),
    ("Water boils at one", "hundred", " degrees."),
    ("Ice is frozen", "water", "."),
    ("Bees make", "honey", " from flowers."),
    ("The moon moves around the", "earth", "."),
    ("The earth moves around the", "sun", "."),
    ("A baby dog is called a", "puppy", "."),
    ("A baby cat is called a", "kitten", "."),
    ("A baby cow is called a", "calf", "."),
    ("A baby duck is called a", "duckling", "."),
    ("The opposite of hot is", "cold", "."),
    ("The opposite of big is", "small", "."),
    ("The opposite of day is", "night", "."),
    ("The opposite of open is", "closed", "."),
    ("A clock is a machine that shows the", "time", "."),
    ("A baker is a person who makes", "bread", "."),
    ("A cache is a place that keeps things for", "later", "."),
    ("A tree is a plant with a", "trunk", " and leaves."),
)

# dish: (ingredients, what is done)
DISHES = {
    "pancakes": ("flour, eggs, milk and butter", "Mix everything in a bowl. Fry it in a pan"),
    "tomato soup": ("tomatoes, onions, salt and water", "Cut the tomatoes. Boil them in a pot"),
    "apple pie": ("apples, flour, sugar and butter", "Cut the apples. Bake the pie"),
    "fried rice": ("rice, peas, eggs and oil", "Boil the rice. Fry it in a pan"),
    "lemon cake": ("lemons, flour, eggs and sugar", "Mix everything in a bowl. Bake the cake"),
    "potato salad": ("potatoes, onions, oil and salt", "Boil the potatoes. Cut them and wait"),
}
MINUTES = ("ten", "twenty", "thirty", "forty")
DRINKS = ("tea", "juice", "coffee", "lemonade")

SECRETS = COLORS + FOODS + tuple(ANIMALS) + tuple(OBJECTS)
